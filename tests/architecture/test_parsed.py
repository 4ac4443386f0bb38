"""A test of many files fails for each that is at fault, by name."""

from __future__ import annotations

from pathlib import Path

import parsed
import pytest


def test_every_file_at_fault_is_named_and_why(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("good.py", "long.py", "missing.py")]
    files[0].write_text("a = 1")
    files[1].write_text("a = 1\n" * 9)

    @parsed.each(files, lambda path: path.name)
    def test_short(path: Path) -> None:
        """A file is short."""
        assert parsed.text(path).count("\n") < 9, "too long"

    assert (test_short.__name__, test_short.__doc__) == ("test_short", "A file is short.")
    with pytest.raises(AssertionError) as caught:
        test_short()
    assert "long.py: AssertionError: too long" in str(caught.value)
    assert "missing.py: FileNotFoundError" in str(caught.value)
    assert "good.py" not in str(caught.value)
