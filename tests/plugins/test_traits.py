"""What a plugin may say and do beyond its protocol, and what one is taken for that says and does nothing more."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, ClassVar

import pytest

from twofold.cli import reference
from twofold.metrics.changes import problems
from twofold.plugins import loading, protocols, specs, traits
from twofold.study.compose import right_from
from twofold.study.scorer_check import self_test
from twofold.types import Answer, Example, Message

STATED = [cls for name, cls in inspect.getmembers(traits, inspect.isclass) if name.endswith(("Traits", "Settings"))]


class Bare:
    """A metric of the oldest kind: version, Options and score, nothing else."""

    version: ClassVar[int] = 1

    class Options(protocols.Options):
        """None."""

    def __init__(self, options: Any) -> None:
        self.options = options

    def score(self, example: Example, answer: Answer) -> float | None:
        return float(answer.text == example.references[0])


class Saying(Bare):
    """A metric that says everything that a metric may."""

    pooled: ClassVar[bool] = True
    conditional: ClassVar[bool] = True
    reference_free: ClassVar[bool] = True
    takes_labels: ClassVar[bool] = True
    right: ClassVar[float | None] = None

    def pool(self, items: Any) -> float:
        return 1.0

    def wants(self, example: Example) -> str:
        return "anything"


def rows(count: int = 20) -> list[Example]:
    return [
        Example(id=str(n), messages=(Message(role="user", content=f"q{n}"),), references=(f"answer {n}",))
        for n in range(count)
    ]


@pytest.mark.parametrize("stated", STATED)
def test_a_plugin_that_says_nothing_is_taken_for_the_defaults(stated: Any) -> None:
    assert stated.of(object()) == stated()


def test_what_a_class_says_counts_of_the_class_and_of_its_instances() -> None:
    expected = traits.MetricTraits(
        pooled=True, conditional=True, reference_free=True, takes_labels=True, right=None
    )  # fmt: skip
    assert traits.MetricTraits.of(Saying) == expected
    assert traits.MetricTraits.of(Saying(Saying.Options())) == expected


def test_options_are_read_whatever_else_they_hold() -> None:
    class Options(protocols.Options):
        minutes: float = 3.0
        other: str = "x"

    assert traits.TrainerSettings.of(Options()) == traits.TrainerSettings(minutes=3.0)


def test_a_metric_without_any_optional_member_is_used_as_before() -> None:
    metric = Bare(Bare.Options())
    assert right_from(metric) == 0.5
    assert self_test(metric, rows())["gold"] == 1.0
    assert problems(metric, "bare", rows()) == []
    with loading.registered("metrics", "bare", Bare):
        part = specs.MetricPart(name="bare", options={})
        assert specs.informed(part, rows()) is part


def test_a_pooled_metric_is_judged_by_its_pool() -> None:
    metric = Saying(Saying.Options())
    assert isinstance(metric, protocols.Pools)
    assert self_test(metric, rows())["shuffled"] == 1.0, "free of references, so shuffled answers may score"
    assert right_from(metric) is None


def test_a_reader_tells_by_its_method_that_it_gives_places() -> None:
    class Plain:
        def read(self, path: Path, data: bytes) -> Any:
            return iter(())

    class Placed(Plain):
        def places(self, path: Path, data: bytes) -> Any:
            return iter(())

    assert not isinstance(Plain(), protocols.ReadsPlaces)
    assert isinstance(Placed(), protocols.ReadsPlaces)


@pytest.mark.parametrize(
    ("kind", "name", "protocol"),
    [
        ("readers", "csv", protocols.ReadsPlaces),
        ("readers", "mailbox", protocols.ReadsPlaces),
        ("embedders", "minilm", protocols.CountsUnknown),
        ("embedders", "multilingual", protocols.CountsUnknown),
        ("indexes", "qdrant", protocols.Discards),
        ("indexes", "pgvector", protocols.Discards),
        ("generators", "openai", protocols.Converses),
        ("generators", "openai", protocols.Remembers),
        ("generators", "local", protocols.Exports),
        ("trainers", "openai", protocols.Cancels),
        ("trainers", "openai", protocols.KnowsProvenance),
        ("metrics", "macro_f1", protocols.Pools),
        ("metrics", "accuracy", protocols.Wants),
    ],
)
def test_our_own_plugins_offer_what_they_did(kind: Any, name: str, protocol: Any) -> None:
    assert issubclass(loading.find(kind, name), protocol)


@pytest.mark.parametrize(
    ("kind", "name", "protocol"),
    [
        ("readers", "text", protocols.ReadsPlaces),
        ("indexes", "lancedb", protocols.Discards),
        ("generators", "local", protocols.Converses),
        ("generators", "openai", protocols.Exports),
        ("trainers", "lora", protocols.Cancels),
        ("trainers", "lora", protocols.KnowsProvenance),
        ("metrics", "exact_match", protocols.Pools),
    ],
)
def test_our_own_plugins_offer_no_more_than_they_did(kind: Any, name: str, protocol: Any) -> None:
    assert not issubclass(loading.find(kind, name), protocol)


def test_the_reference_page_names_every_optional_member() -> None:
    page = reference.plugins()
    for stated in STATED:
        assert all(f"| `{name}` | " in page for name in stated.__dataclass_fields__), stated
    required = {kind.rstrip("s") for kind in protocols.KINDS} | {"index", "tool", "protocol"}
    optional = [
        name
        for name, cls in inspect.getmembers(protocols, inspect.isclass)
        if cls.__module__ == protocols.__name__ and hasattr(cls, "_is_protocol") and name.lower() not in required
    ]
    assert len(optional) >= 11
    for name in optional:
        assert f"`protocols.{name}`" in page, name
