"""Twofold: should your language model know more, behave differently, or both? Measured, with evidence.

The front door: these names are loaded when they are first used, so that ``import twofold`` stays light.

Example:
    >>> from twofold import Project
    >>> with Project.open("my-project") as project:
    ...     answer = project.ask("How long is the notice period?")
"""

__version__ = "0.1.0"
__all__ = ["Answer", "Document", "Example", "Project", "System", "TwofoldError", "Verdict"]

_HOME = {
    "Answer": "types",
    "Document": "types",
    "Example": "types",
    "Project": "project",
    "System": "answering.system",
    "TwofoldError": "errors",
    "Verdict": "verdict.outcome",
}
"""Public name to the module that defines it."""


def __getattr__(name):  # type: ignore[no-untyped-def]  # typed in __init__.pyi; this module imports nothing
    if name not in _HOME:
        raise AttributeError(f"module 'twofold' has no attribute {name!r}; it offers {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(f"twofold.{_HOME[name]}"), name)
