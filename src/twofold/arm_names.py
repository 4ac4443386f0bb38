"""Names of arms: parts joined by ``+``, each part once and in one order. Pure."""

from __future__ import annotations

from itertools import chain

from twofold.errors import ConfigError
from twofold.types import Arm

SLOTS = (("prompt", "optimised"), ("ft",), ("rag", "whole", "oracle"), ("schema",))
"""Parts in the order in which a name has them; of the parts of one slot an arm has one at most."""
BASE, LINEAR = "base", "linear"
"""The arm without a part, and the one without a language model, which no part can be added to."""
PARTS = frozenset((BASE, LINEAR, *chain.from_iterable(SLOTS)))
"""Words of which arms' names are made: no further model may be called so."""


def arm_of(name: str, *, shots: int) -> Arm:
    """The arm of a name such as ``base``, ``linear``, ``prompt+rag`` or, of one training run, ``ft+rag@2``.

    Args:
        name: Its parts in the order of `SLOTS`, joined by ``+``; a number after ``@`` names a training run.
        shots: Few-shot examples of an arm with ``prompt`` or ``optimised``.

    Raises:
        ConfigError: a part that there is not, one that is named twice or excludes another, or another order.
    """
    parts_of_it, at, run = name.partition("@")
    if at:
        arm = arm_of(parts_of_it, shots=shots)
        if not arm.tuning or not run.isascii() or not run.isdigit() or run.startswith("0"):
            raise ConfigError(
                f"unknown arm {name!r}: "
                + ("a run is numbered from 1" if arm.tuning else f"{parts_of_it} is not trained, so it has no runs"),
                cure=f"Write {parts_of_it}@1 for the first training run." if arm.tuning else f"Write {parts_of_it}.",
            )
        return arm.of_run(int(run))
    if name == LINEAR:
        return Arm(name=name, linear=True)
    parts = [] if name == BASE else name.split("+")
    known = list(chain.from_iterable(SLOTS))
    for part in parts:
        if part == BASE:
            raise ConfigError(
                f"unknown arm {name!r}: base is the arm without any part",
                cure=f"Write {'+'.join(other for other in parts if other != BASE) or BASE}.",
            )
        if part not in known:
            raise ConfigError(
                f"unknown arm {name!r}: "
                + ("linear takes no further part" if part == LINEAR else f"there is no part {part!r}"),
                cure=f"Write base, linear, or one or more of {', '.join(known)}, joined by + in this order.",
            )
    for slot in SLOTS:
        chosen = [part for part in parts if part in slot]
        if len(chosen) > 1:
            several = f"{chosen[0]} twice" if len(set(chosen)) == 1 else f"both {' and '.join(chosen)}"
            raise ConfigError(f"unknown arm {name!r}: it has {several}", cure=f"Leave one {chosen[-1]} out.")
    # One spelling for each set of parts: an arm's name is its column in every record.
    spelled = "+".join(part for part in known if part in parts)
    if parts and name != spelled:
        raise ConfigError(f"unknown arm {name!r}: its parts are in another order", cure=f"Write {spelled}.")
    if {"ft", "optimised"} <= set(parts):
        raise ConfigError(
            f"unknown arm {name!r}: an adapter is trained with the project's own prompt, and answers with no other",
            cure=f"Write {spelled.replace('optimised', 'prompt')}, or leave ft or optimised out.",
        )
    if {"ft", "whole"} <= set(parts):
        raise ConfigError(
            f"unknown arm {name!r}: no adapter is trained to read whole documents",
            cure="Write ft+rag, which is trained to read passages, or leave ft out.",
        )
    retrieval = not {"rag", "whole", "oracle"}.isdisjoint(parts)
    return Arm(
        name=name,
        retrieval=retrieval,
        tuning="" if "ft" not in parts else "open-book" if retrieval else "closed-book",
        shots=0 if {"prompt", "optimised"}.isdisjoint(parts) else shots,
        optimised="optimised" in parts,
        oracle="oracle" in parts,
        schema="schema" in parts,
        whole="whole" in parts,
    )
