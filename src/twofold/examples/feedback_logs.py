"""Feedback logs on disk → examples and preferences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twofold.errors import BadRecord, TooFewExamples, UnreadableFile
from twofold.examples import feedback
from twofold.examples.feedback import Interaction, Mined
from twofold.files.paths import expand, looked_in
from twofold.files.reading import JSONL, MIB, decode, read_bytes, suffix_of
from twofold.text.privacy import masked
from twofold.types import Json

FEEDBACK = "serving/feedback.jsonl"
"""Log of a project's own server."""
MAX_MIB = 512
"""Largest log, after decompression."""


def mine(paths: Sequence[str], root: Path, *, abstention: str = "", mask: bool = True, required: bool = True) -> Mined:
    """Examples and preferences from logs in JSON Lines (``.gz`` too); see `examples.feedback`.

    A malformed line is thrown away with its reason, as a log whose writer was killed has one.

    Args:
        paths: Files, folders or patterns relative to `root`, in order of time.
        root: The project.
        abstention: What a system says when the documents do not tell.
        mask: Put the kind of personal data and secrets in their place (see `text.privacy`).
        required: It is an error where no line has usable feedback.

    Raises:
        UnreadableFile: a file is missing, too large or not text.
        TooFewExamples: no line has usable feedback; the message holds the first reason.
    """
    files, missing = expand(paths, root, skip=lambda name: suffix_of(name) not in JSONL)
    for error in missing:
        # The path was given to the command: nothing in the configuration is to be corrected.
        cure = f"{looked_in(str(error.file), root)} Correct the path; it is relative to the project."
        raise UnreadableFile(error.message, file=error.file, cure=cure)
    log: list[Interaction] = []
    broken: list[Json] = []
    for file in files:
        if file.refused:
            raise file.refused
        text = decode(read_bytes(file.path, limit=MAX_MIB * MIB, name=file.name), name=file.name)
        for interaction in feedback.interactions(text, name=file.name):
            if isinstance(interaction, BadRecord):
                broken.append(
                    {
                        "question": "",
                        "at": f"{interaction.file}:{interaction.line}",
                        "why": f"malformed: {interaction.message}",
                    }
                )
            else:
                log.append(interaction)
    result = feedback.mined(log, abstention=abstention, mask=masked if mask else None)
    result.discarded[:0] = broken
    if required and not result.examples:
        first = result.discarded[0] if result.discarded else {"at": ", ".join(paths), "why": "no line at all"}
        raise TooFewExamples(
            f"the log contains no usable feedback; first reason, {first['at']}: {first['why']}",
            cure="Give each line a question, an answer, and a rating (up, down) or a correction.",
        )
    return result
