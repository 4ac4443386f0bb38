"""The judge of a finished study: on probation until it is shown to agree with people."""

from __future__ import annotations

from twofold.judge.record import JudgementRecord
from twofold.labelling.labels import labels_of
from twofold.plugins.protocols import Progress, quiet
from twofold.project.material import Material
from twofold.reports import archive
from twofold.study import judgement
from twofold.study.judgement import JudgedStudy, JudgePlan


class Judging:
    """Judges the studies of one project."""

    def __init__(self, material: Material) -> None:
        self._material = material

    def plan(self, study: str = "") -> JudgePlan:
        """What judging a study would ask; see `judgement.plan`."""
        with self._material.writing():
            return judgement.plan(self._material.workspace, self._opened(study))

    def run(self, study: str = "", *, progress: Progress = quiet) -> JudgementRecord:
        """Judge a study, and write ``judgement.json`` beside its record; see `judgement.judge`."""
        material = self._material
        with material.writing():
            subject = self._opened(study)
            directory = material.records / subject.record["study"]
            earlier = archive.earlier_judgement(directory)
            record = judgement.judge(material.workspace, subject, earlier=earlier, progress=progress)
            archive.write_judgement(directory, record)
            return record

    def _opened(self, study: str) -> JudgedStudy:
        material = self._material
        labels = labels_of(material.directory, material.places.shared).all()
        return judgement.opened(
            material.config, material.directory, records=material.records, labels=labels, study=study
        )
