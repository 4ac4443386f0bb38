"""No error tells anyone to delete `.twofold/`: it holds what must stay erased."""

from __future__ import annotations

import re
from pathlib import Path

import twofold
from twofold import errors


def test_no_error_advises_to_delete_the_derived_data() -> None:
    cures = [
        one.cure for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.TwofoldError)
    ]
    assert errors.StoreError.cure in cures
    said = [*cures, *(path.read_text(encoding="utf-8") for path in Path(twofold.__file__).parent.rglob("*.py"))]
    advice = re.compile(r"(?i)(?:delete|remove)\s+`?\.twofold|`\.twofold/?` can be (?:deleted|removed)")
    assert advice.search("Upgrade, or delete `.twofold/` to build it again.")
    assert not [text for text in said if advice.search(text)]
