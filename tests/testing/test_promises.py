"""Every conformance suite is a list of small promises, and a plugin that breaks one breaks no other's test."""

from __future__ import annotations

import inspect
from dataclasses import replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from twofold.generation.live.threads import Threads
from twofold.plugins import protocols
from twofold.testing import conformance_embedder, conformance_generator, conformance_index, conformance_metric
from twofold.testing.echo_generator import EchoGenerator
from twofold.testing.hashing_embedder import HashingEmbedder
from twofold.testing.memory_index import MemoryIndex
from twofold.types import Completion, Hit, Message, Prompt

SUITES = [conformance_embedder, conformance_generator, conformance_index, conformance_metric]


@pytest.mark.parametrize("suite", SUITES)
def test_no_promise_is_left_out(suite: ModuleType) -> None:
    written = [
        function
        for name, function in inspect.getmembers(suite, inspect.isfunction)
        if function.__module__ == suite.__name__
        and not name.startswith("_")
        and list(inspect.signature(function).parameters) == ["subject"]
    ]
    assert set(written) == set(suite.PROMISES)
    assert len(suite.PROMISES) == len(set(suite.PROMISES)) > 10


def broken(suite: ModuleType, subject: Any) -> set[str]:
    """Names of the promises that a subject breaks."""
    names = set()
    for promise in suite.PROMISES:
        try:
            promise(subject)
        except AssertionError:
            names.add(promise.__name__)
    return names


class Long(HashingEmbedder):
    """Its vectors are twice too long."""

    def embed(self, texts: Any, *, progress: Any = None) -> Any:
        return super().embed(texts, progress=progress) * np.float32(2)


class Mute(HashingEmbedder):
    """It reports no progress."""

    def embed(self, texts: Any, *, progress: Any = None) -> Any:
        return super().embed(texts)


class Loose(HashingEmbedder):
    """It ignores options that it does not know."""

    class Options(HashingEmbedder.Options, extra="ignore"):
        """As its parent's."""


class Cut(HashingEmbedder):
    """It sees only the first hundred tokens of a text."""

    def offsets(self, text: str) -> Any:
        return super().offsets(text)[:100]


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (HashingEmbedder, set()),
        (Long, {"vectors_have_length_one"}),
        (Mute, {"progress_reaches_its_total"}),
        (Loose, {"refuses_unknown_options"}),
        (Cut, {"tokens_of_a_long_text_are_not_cut"}),
    ],
)
def test_a_fault_of_an_embedder_breaks_its_promise_alone(cls: Any, names: set[str]) -> None:
    subject = conformance_embedder.Subject(make=lambda: cls(cls.Options()))
    assert broken(conformance_embedder, subject) == names


class Undying(EchoGenerator):
    """It answers after it was closed."""

    def close(self) -> None:
        pass


class Rude(EchoGenerator):
    """Its stream has another text than its completion."""

    def stream(self, prompt: Prompt) -> Any:
        yield "!"
        yield from super().stream(prompt)


class Muddled(EchoGenerator):
    """Its running batch loses the end of every prompt."""

    def live(self) -> Threads:
        lost = Message(role="user", content="?")
        return Threads(lambda prompt, *_: self.stream(replace(prompt, messages=(lost,))), workers=2)


class Restless(EchoGenerator):
    """Its key is another each time it is made."""

    made: ClassVar[int] = 0

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        Restless.made += 1
        self.number = Restless.made

    @property
    def key(self) -> str:
        return f"{super().key}-{self.number}"


class Upside(EchoGenerator):
    """Its completions are in the reverse order of its prompts."""

    def generate(self, prompts: Any, *, progress: protocols.Progress | None = None) -> list[Completion]:
        return super().generate(prompts, progress=progress)[::-1]


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (EchoGenerator, set()),
        (Undying, {"closed_it_answers_nothing"}),
        (Rude, {"a_stream_joins_to_the_text", "a_running_batch_says_the_same"}),  # its batch is of its streams
        (Muddled, {"a_running_batch_says_the_same"}),
        (Restless, {"one_key_gives_one_answer"}),
    ],
)
def test_a_fault_of_a_generator_breaks_its_promise_alone(cls: Any, names: set[str]) -> None:
    for subject in conformance_generator.opened(lambda: cls(cls.Options(mode="echo"))):
        assert broken(conformance_generator, subject) == names


def test_completions_in_another_order_than_their_prompts_are_seen() -> None:
    for subject in conformance_generator.opened(lambda: Upside(Upside.Options(mode="echo"))):
        assert "a_stream_joins_to_the_text" in broken(conformance_generator, subject)


class Forgetful(MemoryIndex):
    """It applies a filter after the search."""

    def search(self, texts: Any, vectors: Any, k: int, **more: Any) -> list[list[Hit]]:
        which = more.pop("filter", None)
        hits = super().search(texts, vectors, k, **more)
        return [[hit for hit in each if which is None or which.allows(hit.chunk)] for each in hits]


class Uncounted(MemoryIndex):
    """It does not count what it deletes."""

    def delete(self, documents: Any) -> int:
        super().delete(documents)
        return 0


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (MemoryIndex, set()),
        (Forgetful, {"a_filter_is_part_of_the_search"}),
        (
            Uncounted,
            {
                "deleted_chunks_are_counted_and_gone",
                "oddly_named_documents_are_edited",
                "random_edits_leave_what_was_put",
                "random_edits_leave_what_is_found",
            },
        ),
    ],
)
def test_a_fault_of_an_index_breaks_its_promises_alone(cls: Any, names: set[str], tmp_path: Any) -> None:
    def opened(directory: Any, fingerprint: str) -> Any:
        return cls(cls.Options(), directory=directory, fingerprint=fingerprint, dimension=conformance_index.DIMENSION)

    found = set()
    for promise in conformance_index.PROMISES:
        subject = conformance_index.Subject(make=opened, directory=tmp_path / promise.__name__)
        try:
            promise(subject)
        except AssertionError:
            found.add(promise.__name__)
    assert found == names
