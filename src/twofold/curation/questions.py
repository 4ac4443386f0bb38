"""Make examples: questions from documents, and questions in other words. Every question is checked before it is kept.

Every completion is committed to the catalogue as it comes, so a killed run continues where it ended, and repeating a
run costs nothing. Discarded questions are counted, and each is returned with its reason.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from twofold import prompts
from twofold.answering import cached as answer_cache
from twofold.answering.system import as_hits
from twofold.assembly.models import Models
from twofold.assembly.searching import Search
from twofold.curation import paraphrases, templates
from twofold.curation.templates import Drawn
from twofold.errors import TooFewExamples
from twofold.examples.leaks import bare
from twofold.files import writing
from twofold.hashing import digest
from twofold.plugins import loading
from twofold.plugins.protocols import Generator, Progress, quiet
from twofold.prompts import Template
from twofold.types import Answer, Chunk, Example, Json, Message, Prompt

_VERSION = 1
"""Raised when the prompts below change: completions of older prompts are then not used."""
_FEWEST = 8
"""Passages in a batch, at least: near the end of a run few questions lack, and many of them fail a check."""
_KNOWN = 0.6
"""Token F1 from which a closed-book answer counts as right: the model knows the fact without the passage."""
_ASK = Template(
    open=(
        "You write questions for an exam. Write one question that the passage answers in a few words. Name what the "
        "question is about: who answers it does not see the passage. Write the question only."
    ),
    passage="{title}\n{text}",
    question="{question}",
    cite="none",
)
_ANSWER = Template(
    open=(
        "Answer the question with a few words copied from the passage, nothing else. "
        "If the passage does not tell, say: {abstention}"
    ),
    passage="{title}\n{text}",
    question="Question: {question}",
    cite="none",
)
_NO_PASSAGE = "Add documents, and sync; under access control see [access].study_groups."
_NO_TEMPLATE = "Let a model ask: add --by model, and set [generation.generator] to one that writes their language."
_REWORD = (
    "Write the message below in other words. Keep its meaning, all names and all numbers. "
    "Write the new message only.\n\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The settings for making questions."""

    count: int
    """Number of examples to make; for rewordings, the number for each example."""
    by: Literal["templates", "model"] = "templates"
    """The writer: templates and rules, or the configured generator."""
    unanswerable: float = 0.1
    """Share of the questions that no document answers."""
    most_words: int = 20
    """Length of the longest answer, in words."""
    rank: int = 5
    """A question's document must be among so many nearest passages, else the question fits many; 0: no check."""
    similar: float = 0.8
    """Least cosine between the embedder's vectors of a question and its rewording."""
    seed: int = 0
    """Seed of the draws of passages, rules and names."""


@dataclass(kw_only=True)
class NewExamples:
    """The result of making questions."""

    maker: str
    """Name of the writer: a model, or the templates."""
    examples: list[Example] = field(default_factory=list)
    """The questions that passed every check, as examples."""
    discarded: list[Json] = field(default_factory=list)
    """The others: ``question``, ``answer``, ``document``, ``why``."""

    @property
    def counts(self) -> Json:
        """Counts of questions: kept, unanswerable, and discarded for each reason."""
        reasons = Counter(str(one["why"]) for one in self.discarded)
        return {
            "made": len(self.examples),
            "unanswerable": sum(not example.answerable for example in self.examples),
            "discarded": dict(reasons.most_common()),
        }


class Writer:
    """The configured generator as a writer whose completions are all kept in the catalogue.

    Args:
        models: The project's models and catalogue.
    """

    def __init__(self, models: Models) -> None:
        self.models = models
        self._generator: Generator | None = None

    @cached_property
    def generator(self) -> Generator:
        """The configured generator without an adapter."""
        self._generator = self.models.generator()
        return self._generator

    @property
    def name(self) -> str:
        """The name that examples give as their maker: the model's, whatever runtime runs the model."""
        description = self.generator.description
        return str(description.get("model") or description.get("name") or self.generator.key)

    @property
    def _key(self) -> str:
        """Key of completions with the parameters sent now: an endpoint's first refusal changes the parameters."""
        key = digest("system", {"writing": self.generator.key, "version": _VERSION})
        self.models.catalogue.systems.put(key, {"writes": "examples", "generator": self.generator.description})
        return key

    @cached_property
    def _cached(self) -> dict[str, Answer]:
        return self.models.catalogue.answers.get(self._key)

    def write(self, requests: Sequence[tuple[Prompt, Chunk | None]]) -> list[str]:
        """A text for each prompt; empty where the generator failed.

        Args:
            requests: Prompts, each with the chunk that it shows: `forget` finds the completions of a document by it.
        """
        names = [digest("prompt", prompt) for prompt, _ in requests]
        # By name: two passages may lead to one prompt, which is asked for once.
        missing = {name: one for name, one in zip(names, requests, strict=True) if name not in self._cached}
        written = answer_cache.committed(
            self.models.catalogue.answers,
            lambda: self._key,
            list(missing.items()),
            answer=self._completed,
            batch=self.models.config.generation.batch,
        )
        self._cached.update(zip(missing, written, strict=True))
        return ["" if self._cached[name].failure else self._cached[name].text.strip() for name in names]

    def _completed(self, batch: Sequence[tuple[Prompt, Chunk | None]]) -> list[Answer]:
        completions = self.generator.generate([prompt for prompt, _ in batch])
        answers: list[Answer] = []
        for (_, chunk), completion in zip(batch, completions, strict=True):
            answers.append(
                Answer(
                    text=completion.text,
                    raw=completion.text,
                    failure=completion.failure,
                    usage=completion.usage,
                    hits=_shown(chunk),
                )
            )
        return answers

    def close(self) -> None:
        """Free the generator's memory."""
        if self._generator is not None:
            self._generator.close()


def _shown(chunk: Chunk | None) -> tuple[Any, ...]:
    return tuple(as_hits([chunk])) if chunk is not None else ()


# ---------------------------------------------------------------- questions from documents


def questions(
    search: Search,
    models: Models,
    recipe: Recipe,
    *,
    within: Collection[str] | None = None,
    foreign: Sequence[Chunk] = (),
    progress: Progress = quiet,
) -> NewExamples:
    """Questions from the index's passages, and some that no document answers.

    A model writes question and answer in two calls: for the answer it sees passage and question only. A question is
    discarded when it fails `templates.fault_of`, when it fits many passages alike, or, if a model wrote it, when the
    model answers it rightly without the passage. Unanswerable questions hold a name or number of another document, or
    are about `foreign` passages and have no answer in the index.

    Args:
        search: Search of a synced project.
        models: The models that write questions and answers.
        recipe: Settings of the questions.
        within: Ids of the documents to ask about; None: all.
        foreign: Passages of documents outside the index.
        progress: Called with the number of questions kept.

    Raises:
        TooFewExamples: there is no passage of running text, or none that a template can ask about.
        GenerationError: the generator as a whole cannot work.
    """
    search.require_principal()
    readable = search.filter.allows
    chunks = [chunk for chunk in search.index.chunks_of(sorted(search.index.documents())) if readable(chunk)]
    about = chunks if within is None else [chunk for chunk in chunks if chunk.span.document in within]
    drawn = templates.worth_asking(about, seed=recipe.seed)
    if not drawn:
        may = " that the study's principal may read" if search.filter.principal else ""
        raise TooFewExamples(f"no document{may} has a passage of running text to ask about", cure=_NO_PASSAGE)
    answerable = recipe.count - round(recipe.count * recipe.unanswerable)
    writer = Writer(models)
    try:
        draft = NewExamples(maker=writer.name if recipe.by == "model" else templates.TEMPLATES)
        maker = _Maker(search, recipe, draft, writer=writer, vectors=_vectors(search))
        pending = iter(drawn)
        while len(draft.examples) < answerable:
            # twice as many passages as questions lack, since a part of the questions fails a check
            lacking = 2 * (answerable - len(draft.examples))
            batch = list(islice(pending, max(_FEWEST, min(lacking, search.config.generation.batch))))
            if not batch:
                break
            maker.make(batch)
            progress(f"make by {recipe.by}", min(len(draft.examples), answerable), answerable)
        if not draft.examples and not draft.discarded:
            raise TooFewExamples("no passage has a sentence that a template can ask about", cure=_NO_TEMPLATE)
        draft.discarded += [_refused(e, "more than wanted") for e in draft.examples[answerable:]]
        del draft.examples[answerable:]
        _unanswerable(maker, chunks, foreign, recipe.count - answerable, progress=progress)
    finally:
        writer.close()
    return draft


@dataclass(kw_only=True)
class _Vectors:
    chunks: list[Chunk]
    matrix: Any  # (chunks, dimension)


def _vectors(search: Search) -> _Vectors:
    chunks, matrix = search.index.vectors_of(sorted(search.index.documents()))
    rows = [row for row, chunk in enumerate(chunks) if search.filter.allows(chunk)]
    return _Vectors(chunks=[chunks[row] for row in rows], matrix=matrix[rows])


class _Maker:
    """Takes passages through all checks, many at a time."""

    def __init__(
        self, search: Search, recipe: Recipe, draft: NewExamples, *, writer: Writer, vectors: _Vectors
    ) -> None:
        self.search = search
        self.recipe = recipe
        self.draft = draft
        self.writer, self.vectors = writer, vectors
        self.asked_before: set[str] = set()

    def make(self, chunks: Sequence[Chunk]) -> None:
        """Keep the questions about these passages that pass every check."""
        for drawn, chunk in self.checked(chunks):
            self.draft.examples.append(templates.example_of(drawn, chunk, maker=self.draft.maker))

    def checked(self, chunks: Sequence[Chunk], *, near: bool = True) -> list[tuple[Drawn, Chunk]]:
        """The questions about these passages that pass every check.

        Args:
            chunks: The passages.
            near: The passages are in the index, so that each question's own passage can be among the nearest.
        """
        if self.recipe.by == "model":
            candidates = self._written(chunks)
        else:
            tried = ((templates.by_template(chunk, seed=self.recipe.seed), chunk) for chunk in chunks)
            candidates = [(drawn, chunk) for drawn, chunk in tried if drawn is not None]
        passed = []
        for drawn, chunk in candidates:
            # The cheap checks first, by words; those that ask the embedder or the model see only what is left.
            why = templates.fault_of(drawn, chunk, most_words=self.recipe.most_words)
            if not why and bare(drawn.question) in self.asked_before:
                why = "asked already"
            if why:
                self.discard(drawn, chunk, why)
            else:
                self.asked_before.add(bare(drawn.question))
                passed.append((drawn, chunk))
        if near:
            passed = self._about_one(passed)
        return self._unknown(passed) if self.recipe.by == "model" else passed

    def _written(self, chunks: Sequence[Chunk]) -> list[tuple[Drawn, Chunk]]:
        wish = (Message(role="user", content="Write a question about a fact, a name or a number in this passage."),)
        requests = [
            (prompts.render(wish, template=_ASK, hits=as_hits([chunk]), max_tokens=64), chunk) for chunk in chunks
        ]
        written = [_first_line(text) for text in self.writer.write(requests)]
        first = [(question, chunk) for question, chunk in zip(written, chunks, strict=True) if question]
        # two tokens a word, and some for what a model says before the answer
        room = 2 * self.recipe.most_words + 16
        requests = []
        for question, chunk in first:
            turn = (Message(role="user", content=question),)
            prompt = prompts.render(turn, template=_ANSWER, hits=as_hits([chunk]), max_tokens=room)
            requests.append((prompt, chunk))
        answers = self.writer.write(requests)
        pairs = []
        for (question, chunk), answer in zip(first, answers, strict=True):
            short = templates.without_restating(_first_line(answer), question, chunk)
            drawn = Drawn(question=question, answer=short, kind="model")
            if bare(answer).startswith(bare(_ANSWER.abstention)):
                self.discard(drawn, chunk, "its passage does not tell")
            else:
                pairs.append((drawn, chunk))
        for _ in range(len(chunks) - len(first)):
            self.draft.discarded.append({"question": "", "answer": "", "document": "", "why": "the generator failed"})
        return pairs

    def _about_one(self, candidates: list[tuple[Drawn, Chunk]]) -> list[tuple[Drawn, Chunk]]:
        """The candidates whose own document is among the documents of the nearest passages."""
        if not candidates or not self.recipe.rank:
            return candidates
        near = self.nearest([drawn.question for drawn, _ in candidates], self.recipe.rank)
        passed = []
        for (drawn, chunk), passages in zip(candidates, near, strict=True):
            if any(passage.span.document == chunk.span.document for passage in passages):
                passed.append((drawn, chunk))
            else:
                self.discard(drawn, chunk, "other passages fit it better")
        return passed

    def nearest(self, texts: Sequence[str], k: int) -> list[list[Chunk]]:
        """The `k` passages of the index nearest to each text, the nearest first."""
        if not texts:
            return []
        scores = self.search.embedder.embed(list(texts)) @ self.vectors.matrix.T
        order = (-scores).argsort(axis=1, kind="stable")[:, :k]  # (texts, k): ties in the index's order, always alike
        return [list(map(self.vectors.chunks.__getitem__, row)) for row in order.tolist()]

    def _unknown(self, candidates: list[tuple[Drawn, Chunk]]) -> list[tuple[Drawn, Chunk]]:
        """The candidates that the model does not answer without the passage."""
        template = self.search.config.template
        requests: list[tuple[Prompt, Chunk | None]] = []
        for drawn, chunk in candidates:
            turn = (Message(role="user", content=drawn.question),)
            # a few words show whether the fact is known
            requests.append((prompts.render(turn, template=template, max_tokens=48), chunk))
        closed_book = self.writer.write(requests)
        f1, contains = loading.make("metrics", "token_f1", {}), loading.make("metrics", "contains", {})
        passed = []
        for (drawn, chunk), text in zip(candidates, closed_book, strict=True):
            example = templates.example_of(drawn, chunk, maker="")
            answer = Answer(text=text)
            if (f1.score(example, answer) or 0) >= _KNOWN or contains.score(example, answer):
                self.discard(drawn, chunk, "answered without the passage")
            else:
                passed.append((drawn, chunk))
        return passed

    def discard(self, drawn: Drawn, chunk: Chunk, why: str) -> None:
        """Record a question as discarded, with the reason."""
        self.draft.discarded.append(
            {"question": drawn.question, "answer": drawn.answer, "document": chunk.span.document, "why": why}
        )


def _unanswerable(
    maker: _Maker, chunks: Sequence[Chunk], foreign: Sequence[Chunk], count: int, *, progress: Progress
) -> None:
    draft = maker.draft
    seed, done = maker.recipe.seed, 0
    places = templates.entity_places(chunks) if count else {}
    for example in _shuffled(draft.examples, seed):
        # With foreign passages, half of the unanswerable questions are left to them.
        if done >= count or (foreign and done >= count - count // 2):
            break
        other = templates.altered(example, chunks, places, seed=seed)
        if other is not None and bare(other.question) not in maker.asked_before:
            maker.asked_before.add(bare(other.question))
            draft.examples.append(other)
            done += 1
            progress("make unanswerable", done, count)
    for batch in _batches(templates.worth_asking(foreign, seed=seed), maker.search.config.generation.batch):
        if done >= count:
            break
        candidates = maker.checked(batch, near=False)
        for (drawn, chunk), near in zip(
            candidates, maker.nearest([d.question for d, _ in candidates], 10), strict=True
        ):
            if templates.told_by(drawn.answer, near):
                maker.discard(drawn, chunk, "a document of the project may answer it")
            elif done < count:
                whole = templates.example_of(drawn, chunk, maker=draft.maker)
                draft.examples.append(replace(whole, references=(), sources=(), spans=(), answerable=False))
                done += 1
        progress("make unanswerable", done, count)


# ---------------------------------------------------------------- questions in other words


def rewordings(
    search: Search, models: Models, examples: Sequence[Example], *, recipe: Recipe, progress: Progress = quiet
) -> NewExamples:
    """Up to `recipe.count` rewordings of each example; the embedder checks the meaning, a word match the facts.

    Args:
        search: Search of the project.
        models: The models that write the rewordings.
        examples: Examples of the train split.
        recipe: Settings of the rewordings.
        progress: Called with the number of examples done.

    Raises:
        TooFewExamples: there is no example to reword.
        GenerationError: the generator as a whole cannot work.
    """
    if not examples:
        raise TooFewExamples("there is no training example to reword")
    writer = Writer(models)
    try:
        draft = NewExamples(maker=writer.name if recipe.by == "model" else paraphrases.RULES)
        done = 0
        for batch in _batches(examples, search.config.generation.batch):
            tried = _reworded(writer, batch, recipe)
            _keep_alike(search, batch, tried, recipe, draft)
            done += len(batch)
            progress(f"reword by {recipe.by}", done, len(examples))
    finally:
        writer.close()
    return draft


def _reworded(writer: Writer, examples: Sequence[Example], recipe: Recipe) -> list[list[str]]:
    if recipe.by == "templates":
        return [paraphrases.reworded(example.question, seed=recipe.seed) for example in examples]
    requests: list[tuple[Prompt, Chunk | None]] = []
    for example in examples:
        for number in range(recipe.count):
            # numbered, because one prompt has one completion in the catalogue: version 2 would be version 1 again
            wish = f"{_REWORD}{example.question}" + (f"\n\n(Version {number + 1})" if number else "")
            turn = (Message(role="user", content=wish),)
            room = 32 + 2 * len(example.question.split())
            requests.append((Prompt(messages=turn, max_tokens=room), None))
    written = writer.write(requests)
    reworded = []
    for at in range(0, len(written), recipe.count):
        reworded.append([_first_line(text) for text in written[at : at + recipe.count] if text])
    return reworded


def _keep_alike(
    search: Search, examples: Sequence[Example], tried: Sequence[Sequence[str]], recipe: Recipe, draft: NewExamples
) -> None:
    texts = [example.question for example in examples] + list(chain.from_iterable(tried))
    vectors = search.embedder.embed(texts)  # (texts, dimension): the questions first, then every variant in order
    at = len(examples)
    for number, (example, variants) in enumerate(zip(examples, tried, strict=True)):
        seen, count = {bare(example.question)}, 0
        for text in variants:
            alike = float(vectors[number] @ vectors[at])
            at += 1
            # not a break: `at` must pass over this example's other variants
            if count >= recipe.count:
                continue
            why = paraphrases.lost(example.question, text) or ("asked already" if bare(text) in seen else "")
            if not why and alike < recipe.similar:
                why = "another meaning"
            seen.add(bare(text))
            if why:
                draft.discarded.append(
                    {"question": text, "answer": "", "document": "", "example": example.id, "why": why}
                )
                continue
            count += 1
            draft.examples.append(paraphrases.reworded_example(example, text, maker=draft.maker, number=count))


def save(records: Sequence[Json], path: Path) -> None:
    """Write JSON Lines, whole or not at all.

    Raises:
        StoreError: the file cannot be written.
    """
    writing.save(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


# ---------------------------------------------------------------- inside


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _shuffled(examples: Sequence[Example], seed: int) -> list[Example]:
    order = list(examples)
    random.Random(f"{seed}/unanswerable").shuffle(order)
    return order


def _first_line(text: str) -> str:
    # Models announce what they write ("Here is a question:"), and number, quote and embolden it.
    lines = (line.strip(" \t\"'`*-") for line in text.splitlines())
    line = next((line for line in lines if line and not line.endswith(":")), "")
    for label in ("question:", "answer:", "q:", "a:"):
        line = line[len(label) :].strip() if line.lower().startswith(label) else line
    return line


def _refused(example: Example, why: str) -> Json:
    answer = example.references[0] if example.references else ""
    return {"question": example.question, "answer": answer, "document": "".join(example.sources), "why": why}
