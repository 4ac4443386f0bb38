"""The embedded model's tokenizer with the first of its tokens: a tiny model's work is mostly that of its vocabulary."""

from __future__ import annotations

import json
import shutil
from pathlib import Path


def write_tokenizer(source: Path, target: Path, words: int) -> None:
    """Write a model's tokenizer and template, with the first `words` tokens, to the directory of another.

    Ids are in the order of the merges, so the first tokens need no later one: the same texts are split into more of
    them, and come back the same.
    """
    settings = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = settings["model"]["vocab"]
    first = {token: number for token, number in vocabulary.items() if number < words}
    merges = [pair if isinstance(pair, list) else pair.split(" ") for pair in settings["model"]["merges"]]
    settings["model"]["vocab"] = first
    settings["model"]["merges"] = [pair for pair in merges if {*pair, "".join(pair)} <= first.keys()]
    (target / "tokenizer.json").write_text(json.dumps(settings), encoding="utf-8")
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(source / name, target / name)
