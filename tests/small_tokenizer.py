"""The embedded model's tokenizer with its first tokens only, for tiny models.

With all 49,152 tokens nearly all the time of a tiny model goes into the scores of tokens that no text of the tests has,
and into reading and writing their list.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

TOKENS = 8192
"""All bytes, all special tokens, and the commonest words."""


def write(source: Path, target: Path) -> None:
    """Write tokenizer, its settings and the chat template of the model in `source` to `target`."""
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(source / name, target / name)
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    model = tokenizer["model"]
    model["vocab"] = {token: number for token, number in model["vocab"].items() if number < TOKENS}
    # A merge makes a token of two, and tokens are numbered in the order of the merges: the first need only each other.
    model["merges"] = [merge for merge in model["merges"] if "".join(merge) in model["vocab"]]
    (target / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
