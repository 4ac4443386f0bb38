"""The diagnosis of a finished study: why answers were wrong, found by asking again with one thing changed."""

from __future__ import annotations

from twofold.diagnosis.arm import ArmPlan
from twofold.diagnosis.record import DiagnosisRecord
from twofold.plugins.protocols import Progress, quiet
from twofold.project.costing import Costing
from twofold.project.material import Material
from twofold.reports import archive
from twofold.study import diagnosing
from twofold.study.diagnosing import Scope


class Diagnosis:
    """Diagnoses studies of one project."""

    def __init__(self, material: Material, costing: Costing) -> None:
        self._material = material
        self._costing = costing

    def plan(self, request: Scope, *, progress: Progress = quiet) -> list[ArmPlan]:
        """What a diagnosis would run; see `diagnosing.plans`."""
        material = self._material
        with material.writing():
            study = diagnosing.opened(material.config, material.splits, material.records, request=request)
            return diagnosing.plans(material.workspace, study, request=request, progress=progress)

    def run(self, request: Scope, *, progress: Progress = quiet) -> DiagnosisRecord:
        """Diagnose, and write ``diagnosis.json`` beside the study's record; see `diagnosing.diagnose`."""
        material = self._material
        with material.writing():
            study = diagnosing.opened(material.config, material.splits, material.records, request=request)
            prices = self._costing.prices_of(study.record)
            record = diagnosing.diagnose(material.workspace, study, request=request, prices=prices, progress=progress)
            return archive.write_diagnosis(material.records / record["study"], record)
