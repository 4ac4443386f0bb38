"""What is looked for in an object by name is declared: in a protocol, in `plugins.traits`, or in the list here."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import parsed
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "twofold"
MODULES = sorted(SOURCE.rglob("*.py"))

LOOKED_FOR = {
    "plugins/traits.py": ({"field.name"}, "the one place where traits and settings of plugins are read"),
    "plugins/loading.py": ({"'model_fields'"}, "an annotation of an option may be a model"),
    "cli/commands.py": ({"'ctx'"}, "an error of click"),
    "cli/reference.py": (
        {"'commands'", "'rich_help_panel'", "'__forward_arg__'"},
        "objects of typer and typing, for the reference pages",
    ),
    "corpus/readers/fields.py": ({"'isoformat'"}, "dates of several libraries"),
    "corpus/readers/html_text.py": ({"'name'", "'contents'"}, "nodes and strings of a parsed page"),
    "corpus/worker.py": ({"'alarm'"}, "Windows has no alarm"),
    "errors.py": ({"'errno'", "'sqlite_errorname'"}, "errors of the system and of SQLite"),
    "files/writing.py": ({"'O_DIRECTORY'"}, "Windows opens no directories"),
    "generation/runtimes/transformers.py": ({"'get_base_model'"}, "a model of PEFT or of transformers"),
    "host/load.py": ({"'getloadavg'", "'sched_getaffinity'"}, "calls that not every system has"),
    "hashing.py": ({"'model_dump'"}, "any value may stand in a key"),
    "host/capabilities.py": ({"'sysconf'", "'sched_getaffinity'"}, "not every system has them"),
    "models/adapter_layers.py": (
        {"_COUNT", "'head_dim'", "'ndim'", "name"},
        "networks, masks and configurations of transformers",
    ),
    "models/dequantise.py": ({"'quantization_config'", "'quantization_method'"}, "a model of transformers"),
    "retrieval/indexes/weaviate.py": ({"'status_code'"}, "errors of weaviate's client"),
    "store/codec.py": ({"'__name__'"}, "a type hint"),
    "study/retrieval/blend.py": ({"name"}, "an index and an embedder in one forward what they are asked"),
    "training/worker/loop.py": ({"'supports_gradient_checkpointing'"}, "a network of transformers"),
    "training/worker/memory.py": (
        {"'is_gradient_checkpointing'", "'intermediate_size'", "'layers'"},
        "networks and configurations of transformers; only LoRA's options choose layers",
    ),
    "training/worker/methods.py": ({"'parametrizations'"}, "a module of torch"),
    "training/worker/network.py": (
        {
            "'get_base_model'", "'gradient_checkpointing'", "'layer_types'", "'sliding_window'", "'use_sliding_window'",
        },
        "networks and configurations of transformers and PEFT",
    ),
}  # fmt: skip
"""Module → the names that it looks for in objects of other libraries, and why."""


def looked_for(source: str) -> set[str]:
    """The second arguments, as source text, of every ``hasattr`` and of every ``getattr`` with a default."""
    return {
        ast.unparse(call.args[1])
        for call, name in parsed.calls(source)
        if name == "hasattr" or (name == "getattr" and len(call.args) == 3)
    }


@parsed.each(MODULES, lambda path: path.relative_to(SOURCE).as_posix())
def test_a_module_looks_for_declared_members_only(path: Path) -> None:
    allowed, _ = LOOKED_FOR.get(path.relative_to(SOURCE).as_posix(), (set(), ""))
    undeclared = looked_for(parsed.text(path)) - allowed
    assert not undeclared, (
        f"{path.name} looks for {sorted(undeclared)}: declare a plugin's method as a protocol in plugins/protocols.py, "
        "its class variable or option in plugins/traits.py; list what another library's object may have in LOOKED_FOR"
    )


def test_the_list_has_nothing_that_nobody_looks_for() -> None:
    for module, (names, _) in LOOKED_FOR.items():
        assert names == looked_for(parsed.text(SOURCE / module)) & names, module


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("getattr(metric, 'pooled', False)", {"'pooled'"}),
        ("hasattr(generator, 'export')", {"'export'"}),
        ("getattr(options, f'price_{side}', 0)", {"f'price_{side}'"}),
        ("getattr(section, key)", set()),
    ],
)
def test_each_way_to_look_for_a_member_is_seen(source: str, names: set[str]) -> None:
    assert looked_for(source) == names


def test_tests_inject_plugins_by_registering_them() -> None:
    """A patched loader is seen by nobody who reads the registry; `loading.registered` puts back what it replaced."""
    replaced = re.compile(r"loading(?:,\s*\"(?:find|make|options|names)\"|\.(?:find|make|options|names) = )")
    tests = Path(__file__).resolve().parents[1]
    patched = [path.name for path in tests.rglob("*.py") if replaced.search(path.read_text(encoding="utf-8"))]
    assert patched == []
