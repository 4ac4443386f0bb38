"""Costs of a project's studies: the table of prices is read, the record found, everything else is `costs`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import product
from pathlib import Path

from twofold.config import Config
from twofold.costs import metering
from twofold.costs.parts import scenario
from twofold.costs.prices import FILE, UNPRICED, Prices, of_rows, parsed
from twofold.costs.report import CostRecord, costs_of
from twofold.errors import StudyError, UnreadableFile
from twofold.files.reading import MIB, decode, read_bytes
from twofold.indexing.erasure import RECORDS
from twofold.reports import archive
from twofold.text.arm_names import model_of
from twofold.verdict.evidence import RIGHT, is_wrong
from twofold.verdict.record import AnswerRow, StudyRecord


class Costing:
    """Works out the costs of one project's studies; called, it returns a study's costs.

    Args:
        directory: The project.
        config: The configuration in force.
    """

    def __init__(self, directory: Path, config: Config) -> None:
        self._directory = directory
        self._config = config

    def __call__(self, study: str = "", *, prices: Path | str = "") -> CostRecord:
        """The costs of a study's arms under ``[costs]``.

        Args:
            study: Name or number; the latest by default.
            prices: Table of prices; by default that of ``[costs].prices``, else the one that the study recorded.

        Raises:
            StudyError: there is no such study, or no arm of it could be run.
            BadRecord: the table of prices is wrong; file and line are named.
            UnreadableFile: a table is named and cannot be read.
        """
        records = self._directory / RECORDS
        record = archive.find_record(records, study)
        table = self.prices_of(record, prices)
        metered = record.get("metered")
        if metered is None:
            metered = _of_before(record, archive.read_answers(records / record["study"]))
        use = scenario(self._config.costs, max_age_days=self._config.retraining.max_age_days)
        if not metered["arms"]:
            raise StudyError(
                f"the study {record['study']} measured diagnostic arms only, which nobody can run",
                cure="Run `twofold study` with an arm such as base or rag.",
            )
        return costs_of(
            record["study"], metering.opened(metered, batched=self._config.costs.batched), prices=table, scenario=use
        )

    def prices_of(self, record: StudyRecord, path: Path | str = "") -> Prices:
        """The table of prices as `prices` finds it, else the one that a study recorded.

        Raises:
            BadRecord, UnreadableFile: as `prices`.
        """
        table = self.prices(path, answered=record["arms"])
        if not table.file and record.get("prices"):
            table = of_rows(record["prices"], file=f"{record['study']}/study.json")
        return table

    def prices(self, path: Path | str = "", *, answered: Iterable[str] = ()) -> Prices:
        """The table of prices: the one named, else ``[costs].prices``, else `prices.csv` where the project has one.

        Args:
            path: A table.
            answered: Arms of a record, whose further models the configuration may not have any more.

        Raises:
            BadRecord: it is wrong; file and line are named.
            UnreadableFile: it is named and cannot be read.
        """
        stated = Path(path) if str(path) else None
        configured = self._config.costs.prices
        place = stated or self._directory / (configured or FILE)
        if not place.is_file():
            if stated is None and not configured:
                return UNPRICED
            raise UnreadableFile(
                "the table of prices is no plain file" if place.exists() else "the table of prices is missing",
                file=place,
                cure="Name an existing table (CSV), or write one with `twofold cost --template > prices.csv`.",
            )
        text = decode(read_bytes(place, limit=MIB), name=str(place))
        models = {*self._config.models, *map(model_of, answered)}
        return parsed(text, name=str(place), today=date.today(), models=models)


def _of_before(record: StudyRecord, rows: Sequence[AnswerRow]) -> metering.Metered:
    """What a record without metered amounts tells: means, and which answers were right."""
    arms = {name: arm for name, arm in record["arms"].items() if not arm["diagnostic"]}
    least = record.get("right_from", RIGHT)
    wrong: dict[str, list[float]] = {name: [] for name in arms}
    for row, name in product(rows, arms):
        answer = row["arms"][name]
        score = answer["scores"].get(record["metric"])
        unknown = least is None or (score is None and not answer["failure"])
        wrong[name].append(float("nan") if unknown else float(score is None or is_wrong(score, least)))
    groups = [row["group"] or row["id"] for row in rows]
    # The level of [study], whatever the look: costs decide nothing.
    level = float(record["config"].get("study", {}).get("level", record["level"]))
    return metering.of_means(arms, wrong, groups, level=level)
