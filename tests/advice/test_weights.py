"""The table of weights is whole, can be written out, changed and read back, and refuses what it cannot mean."""

from __future__ import annotations

import pytest

from twofold.advice.questionnaire import INQUIRIES, UserAnswers
from twofold.advice.ranking import rank, situation
from twofold.advice.weights import MEASURED, levels_of, parse, shipped, to_toml
from twofold.errors import ConfigError


def test_every_level_of_every_criterion_has_points_and_a_reason() -> None:
    criteria = shipped().criteria
    assert set(criteria) == {*INQUIRIES, *MEASURED}
    for name, criterion in criteria.items():
        assert set(criterion.levels) == set(levels_of(name))
        assert all(level.because for level in criterion.levels.values())


def test_what_is_written_out_is_read_back() -> None:
    assert parse(to_toml(shipped()), file="w.toml") == shipped()


def test_a_file_holds_only_what_differs_and_turns_the_ranking() -> None:
    known = situation(
        UserAnswers(levels={"task": "tone", "change": "weekly", "documents": "many", "labels": "hundreds"})
    )
    before = rank(known, shipped())
    table = parse('[change]\nweight = 20\n[task.tone]\npoints = { "ft+rag" = 3 }\n', file="w.toml")
    assert table.criteria["change"].weight == 20
    assert table.criteria["task"].levels["tone"].points["ft+rag"] == 3
    assert table.criteria["task"].levels["tone"].points["ft"] == shipped().criteria["task"].levels["tone"].points["ft"]
    assert table.criteria["labels"] == shipped().criteria["labels"]
    assert (before.first, rank(known, table).first) == ("ft+rag", "rag")


@pytest.mark.parametrize(
    ("text", "line", "message", "near"),
    [
        ("\n[chnge]\nweight = 1", 2, "no criterion 'chnge'", "change"),
        ("[change]\n\n[change.hourli]\npoints = { rag = 1 }", 3, "no level 'hourli'", "hourly"),
        ("[change.hourly]\npoints = { rga = 1 }", 2, "no way 'rga'", "rag"),
        ("[change.hourly]\npoint = { rag = 1 }", 2, "no key 'point'", "points"),
        ("[change]\nweight = -1", 2, "-1 is out of range", "0 to 100"),
        ("[change]\nweight = nan", 2, "nan is no number", "0 to 100"),
        ("[change.hourly]\npoints = { rag = 9 }", 2, "9 is out of range", "-5 to 5"),
        ("[change.hourly]\npoints = { rag = true }", 2, "True is no number", "-5 to 5"),
        ("change = 1", 1, "1 is no table", "weight = 1"),
        ("[change]\nhourly = 1", 2, "1 is no table", "points"),
        ("[change.hourly]\nbecause = 1", 2, "1 is no text", "because"),
        ("[change.hourly]\npoints = 1", 2, "1 is no table", "points"),
        ("[change", None, "invalid TOML", "Correct"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_nearest_name(
    text: str, line: int | None, message: str, near: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(text, file="w.toml")
    assert refusal.value.line == line
    assert message in refusal.value.message
    assert near in refusal.value.cure
