"""The arms that a server answers with, by the names by which requests ask for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from twofold import asking
from twofold.errors import DatabaseUnreachable, IndexDamaged, NotServed, TwofoldError
from twofold.project import Project
from twofold.serving.absent import AbsentArm
from twofold.serving.arm import ServedArm
from twofold.serving.batches import RunningBatches
from twofold.store.model_registry import short
from twofold.types import Json

DEFAULT = "default"
"""Name of the first arm, whatever it is: with the verdict's arm served, clients follow each new verdict by it."""


class ServedArms:
    """The arms of a project that are served: those that are named, else the verdict's and those of ``[serving].arms``.

    Where none is named, every alias of a tuned model is served too; one that cannot be is passed over. An arm whose
    index is down is there all the same, and refuses what it is asked.

    Args:
        project: Open for as long as the arms are used; closed by the caller.
        batches: Where weights are loaded; closed by the caller, after the arms.
        arms: Names of arms.
        models: Ids or aliases of tuned models, each in its arm.
        unmeasured: Serve also what no study has measured.

    Raises:
        ConfigError: no study has measured one of them, and `unmeasured` is false.
        IndexEmpty, UnknownName, StoreError, TemplateMismatch, GenerationError: as `ServedArm`.
    """

    def __init__(
        self,
        project: Project,
        batches: RunningBatches,
        *,
        arms: Sequence[str] = (),
        models: Sequence[str] = (),
        unmeasured: bool = False,
    ) -> None:
        self.passed_over: list[str] = []
        """Remarks on tuned models that have an alias and are not served."""
        self._served: dict[str, ServedArm] = {}
        named = [*((arm, "") for arm in arms), *(("", model) for model in models)]
        verdicts = [("", ""), *((arm, "") for arm in project.config.serving.arms)]
        try:
            for arm, model in named or verdicts:
                self._add(_opened(project, batches, arm=arm, model=model, unmeasured=unmeasured))
            # Whoever named arms wants these alone.
            for alias in [] if named else sorted(project.catalogue.models.aliases()):
                try:
                    self._add(_opened(project, batches, model=alias, unmeasured=unmeasured))
                except TwofoldError as error:
                    # Anybody may set an alias meanwhile: one that cannot be served must not take the measured arm down.
                    self.passed_over.append(f"the model {alias} is not served: {error.message}")
            # The others' weights are loaded when they are first wanted; see `RunningBatches`.
            self.default.load()
        except BaseException:  # nobody gets this object, so nobody could close the arms that are open
            with suppress(TwofoldError):
                self.close()
            raise

    def __iter__(self) -> Iterator[ServedArm]:
        return iter(self._served.values())

    @property
    def complete(self) -> bool:
        """Could all be opened? Else they are to be opened anew, for an index may be back."""
        return not any(arm.absent for arm in self)

    @property
    def default(self) -> ServedArm:
        """The first: of requests that name none."""
        return next(iter(self._served.values()))

    def named(self, model: str) -> ServedArm:
        """The arm that a request asks for: by its name, by ``default``, or by its tuned model's id.

        Raises:
            NotServed: there is none of that name.
        """
        if model in self._served:
            return self._served[model]
        if model == DEFAULT:
            return self.default
        for arm in self:
            if arm.model and model in (arm.model, short(arm.model)):
                return arm
        names = ", ".join([*self._served, DEFAULT])
        raise NotServed(f"the model {model[:100]!r} is not served", cure=f"Ask one of these models: {names}.")

    def descriptions(self) -> list[Json]:
        """The arms as `/v1/models` shows them, the default first."""
        return [self.described(arm) for arm in self]

    def described(self, arm: ServedArm) -> Json:
        """One of the arms as `/v1/models` shows it."""
        return {**arm.description(), "default": arm is self.default}

    def close(self) -> None:
        """End the running answers of all arms within the grace."""
        for arm in self:
            arm.close()

    def _add(self, arm: ServedArm) -> None:
        if arm.name in self._served:  # named twice, or an alias with the name of an arm
            arm.close()
            return
        self._served[arm.name] = arm


def _opened(
    project: Project, batches: RunningBatches, *, arm: str = "", model: str = "", unmeasured: bool
) -> ServedArm:
    """An arm, or what stands for it while its index is down."""
    try:
        return ServedArm(project, batches, arm=arm, model=model, unmeasured=unmeasured)
    # These alone: what else is wrong with an arm does not pass by waiting.
    except (DatabaseUnreachable, IndexDamaged) as error:
        workspace = project.workspace
        choice = asking.chosen(workspace.models, workspace.systems.calibrations, project.records, arm=arm, model=model)
        return AbsentArm(model or choice.arm.name, choice, error)
