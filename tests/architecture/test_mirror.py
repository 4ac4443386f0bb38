"""Tests lie where what they test lies: ``tests/answering`` tests ``src/twofold/answering``."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
SOURCE = ROOT / "src" / "twofold"
OF_THE_WHOLE = {"architecture", "docs"}
"""Folders of tests that are about no single package."""


def test_every_folder_of_tests_has_its_package() -> None:
    places = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    astray = [str(place) for place in places if place.parts and place.parts[0] not in OF_THE_WHOLE]
    astray = [place for place in astray if not (SOURCE / place / "__init__.py").is_file()]
    assert not astray, f"no package of this name: {sorted(astray)}"


def test_every_room_has_tests() -> None:
    """A package that comes without a folder of tests is seen here, not by its users."""
    untested = {
        path.parent.name
        for path in SOURCE.glob("*/__init__.py")
        if not list((TESTS / path.parent.name).rglob("test_*.py"))
    }
    assert not untested, f"no tests for {sorted(untested)}"
