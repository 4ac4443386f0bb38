"""Every error has a code of its own, a cure, and its place in the documentation."""

from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path

import pytest

from twofold import errors
from twofold.errors import TwofoldError

ROOT = Path(__file__).resolve().parents[2]
CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, TwofoldError)]


def test_codes_are_distinct() -> None:
    codes = [cls.code for cls in CLASSES]
    assert len(codes) == len(set(codes)) >= 20


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_error(cls: type[TwofoldError]) -> None:
    assert re.fullmatch(r"[a-z]+(\.[a-z-]+)?", cls.code)
    assert len(cls.cure) > 15, "a cure says what to do"
    assert cls.__doc__
    if cls is not TwofoldError:
        assert "code" in vars(cls), "a class has its own code"
    assert f"{cls.__name__} [{cls.code}]" in (errors.__doc__ or ""), "missing from the tree in errors.py"
    reference = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    assert f"`{cls.code}`" in reference
    assert cls.exit_code in {2, 3}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_errors_cross_process_borders(cls: type[TwofoldError]) -> None:
    made = cls("it broke", cure="mend it", file="a.jsonl", line=3)
    back = pickle.loads(pickle.dumps(made))
    assert type(back) is cls
    assert (str(back), back.cure, back.line) == ("a.jsonl:3: it broke", "mend it", 3)


def test_children_share_their_parents_code() -> None:
    for cls in CLASSES:
        parent = cls.__mro__[1]
        if issubclass(parent, TwofoldError) and parent is not TwofoldError:
            assert cls.code.startswith(parent.code + ".")
