"""Optimised prompts: which was chosen, among what, by how many dev answers, as lines of text and rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold.types import Json
from twofold.verdict.record import StudyRecord, counted, estimate_text

_ORIGINS = {"default": "the project's own", "pool": "written by hand", "model": "written by the model"}
CAUTION = "dev scores chose the prompt: the highest of several is too high by the choice, and none of them is a result"
"""Said wherever dev scores of candidates are shown."""


def searches(record: StudyRecord) -> dict[str, Json]:
    """Arm → how its prompt was chosen, for arms with an optimised one."""
    return {
        name: arm["description"]["optimised"]
        for name, arm in record["arms"].items()
        if "optimised" in arm["description"]
    }


def found_nothing(record: StudyRecord) -> list[str]:
    """A warning for each arm whose optimiser found no better prompt than the project's own."""
    lines: list[str] = []
    for name, search in searches(record).items():
        others = len(search["candidates"]) - 1
        if search["default"] and others and not search["few"]:
            lines.append(
                f"the prompt of {name} was not improved: none of {counted(others, 'other prompt')} was better than the "
                f"project's own by more than one standard error (the best by {estimate_text(search['gain'])} on "
                f"{counted(search['gain']['n'], 'dev question')}), so that one stands; add dev examples, raise "
                "[study].shots, or write an instruction of your own in [prompt]"
            )
        elif search["default"]:
            lines.append(
                f"the prompt of {name} was not improved: too few dev questions to choose by ({search['dev']}); "
                "add examples, or raise [examples].dev"
            )
    return lines


def prompt_lines(record: StudyRecord) -> list[str]:
    """The chosen prompts with their instruction, a line each; nothing where no arm has one."""
    lines: list[str] = []
    for name, search in searches(record).items():
        lines.append(f"  {name}: {_summary(search)}")
        lines.append(f"    instruction: {search['instruction'] or 'the one of [prompt]'}")
        shots = ", ".join(search["shots"])
        lines.append(f"    examples shown: {shots or 'none'}")
    lines += [f"  warning: {line}" for line in found_nothing(record)]
    return ["optimised prompts:", *lines, f"  ({CAUTION})", ""] if lines else []


def prompt_tables(record: StudyRecord) -> list[Json]:
    """For the report: ``arm``, ``summary`` and the candidates as ``rows``, the chosen one marked."""
    tables: list[Json] = []
    for name, search in searches(record).items():
        rows = [_row(candidate, search) for candidate in search["candidates"]]
        tables.append({"arm": name, "summary": _summary(search), "rows": rows})
    return tables


def _row(candidate: Mapping[str, Any], search: Mapping[str, Any]) -> Json:
    chosen = all(candidate[key] == search[key] for key in ("instruction", "draw"))
    return {**candidate, "written": _ORIGINS[candidate["origin"]], "chosen": chosen}


def _summary(search: Mapping[str, Any]) -> str:
    prompts = counted(len(search["candidates"]), "prompt")
    what = "the project's own prompt stands" if search["default"] else f"an instruction {_ORIGINS[search['origin']]}"
    if not search["default"] and search["origin"] == "default":
        what = "the project's own instruction"
    shown = f"{counted(len(search['shots']), 'example')} ({search['draw']})" if search["shots"] else "no examples"
    return (
        f"{what}, with {shown}; chosen among {prompts} by {search['spent']} of at most {search['budget']} answers to "
        f"{counted(search['dev'], 'dev question')}, as many as tuning looks at ({search['looks']} times)"
    )
