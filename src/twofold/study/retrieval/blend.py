"""Choose the weight of lexical search in a project's hybrid search on its questions, or keep the default.

Weights of a grid are compared with the default on the same train and dev questions. A gain is believed in the measure
of its certainty: it is shrunk towards what that weight was seen to gain elsewhere (`ELSEWHERE`), the more the larger
its standard error by group, so that few questions leave the default. Both legs are searched once; the weights are tried
on what they found. Questions made of the documents' own words flatter the word leg (agvaluate: they prefer a weight
that loses 3.9 points of nDCG@10 on people's questions): nothing is chosen on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from twofold.answering.system import query
from twofold.assembly.searching import Search
from twofold.errors import ConfigError
from twofold.examples.questions import Questions
from twofold.examples.splitting import Splits
from twofold.files.reading import counted
from twofold.hashing import digest
from twofold.plugins import loading
from twofold.plugins.protocols import CountsUnknown, Embedder, Index, Progress, Retriever, quiet
from twofold.plugins.traits import RetrieverSettings, RewriterSettings
from twofold.retrieval.fusion import LEXICAL_WEIGHT
from twofold.settings.sections import Part
from twofold.stats import intervals
from twofold.store import weighing
from twofold.store.weighing import SettledWords, WeightRow, WordChoice
from twofold.study.compose import numbers
from twofold.study.retrieval.benchmark import METRICS, Rules, labelled, learned_train, scorers, titled
from twofold.types import Answer, Example, Filter, Hit

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0)
"""Tried beside the one in force; 0 is the dense leg alone."""
ELSEWHERE = {
    0.0: (-0.099, 0.127),
    0.1: (-0.030, 0.031),
    0.2: (-0.014, 0.018),
    0.3: (-0.004, 0.015),
    0.5: (0.0, 0.001),
    0.7: (-0.002, 0.008),
    1.0: (-0.004, 0.017),
    2.0: (-0.016, 0.032),
}
"""Weight → mean and standard deviation, over the open sets (docs/notebook.md), of the nDCG@10 that it gains on the
default: what to expect of a collection that was not measured. The deviations are a little larger than those seen."""
MARGIN = 0.005
"""Half a point of nDCG: a gain that is not believed to be larger is no reason to leave the default."""
LIMIT = 400
"""Questions that a choice is made on; of more those with the least digests."""
FEWEST = 20
"""Independent groups of questions below which a standard error says too little to choose on."""
_BATCH = 64


class WordWeights(TypedDict):
    """The hybrid search measured with several weights of the word leg."""

    metric: str
    questions: int
    groups: int
    default: float
    chosen: float
    synthetic: bool
    """Were all questions made of the documents? Then ``chosen`` is the default."""
    weights: list[WeightRow]


class WeighedWords(WordWeights):
    """The weights, beside the one in force."""

    now: float


def blend(search: Search, examples: Sequence[Example], rules: Rules, *, progress: Progress = quiet) -> WeighedWords:
    """Measure the hybrid search with each of `WEIGHTS` and say which to take.

    Raises:
        ConfigError: the retriever is not ``hybrid`` by scores.
    """
    part = _hybrid(search.config.retrieval.retriever)
    options: Any = loading.options("retrievers", part.name, part.options)
    set_to = search.words() if options.lexical == weighing.AUTO else float(options.lexical)
    now = LEXICAL_WEIGHT if set_to is None else set_to
    return {"now": now, **_compared(search, part, examples, rules, also=now, progress=progress)}


def settle(
    search: Search, splits: Callable[[], Splits], *, exact: bool = True, progress: Progress = quiet
) -> SettledWords | None:
    """Choose the weight of the word leg on train and dev questions, unless the last choice still holds.

    The choice is kept beside the index at once, whole or not at all. The caller holds the project's lock.

    Args:
        search: Of the project.
        splits: Train and dev are asked; test and reserve never are. Dev alone where the embedder was tuned on train.
        exact: Choose again after any change to documents or questions; else only for another search, or where a share
            of the documents above `weighing.MOVED` changed: nothing else is read then.
        progress: Shows searching.

    Returns:
        None where documents or settings leave nothing to choose, or nobody to choose as.
    """
    part = weighing.searching(search.config)
    config = search.config
    if part is None or (config.access.enabled and search.filter.principal is None):
        return None
    recipe = weighing.recipe(config, chunks=search.chunk_recipe, embedder=search.embedder.fingerprint)
    content = search.index.state().content
    sketch = weighing.sketch(search.index.contents())
    if not sketch:  # without documents there is nothing to weigh
        return None
    last = weighing.last_choice(search.catalogue.notes)
    # Chosen for another search, a weight says nothing of this one.
    if last is not None and last["recipe"] != recipe:
        last = None
    if last is not None and not exact and weighing.moved(last["sketch"], sketch) <= weighing.MOVED:
        return {**last, "new": False}
    divided = splits()
    known = divided.dev if learned_train([config]) else (*divided.train, *divided.dev)
    examples = []
    for example in labelled(divided.judged(search.readable(known))):
        if example.origin != "synthetic":
            examples.append(example)
    # By digest, so that which questions are asked does not follow the order of files.
    named = sorted(zip(Questions(examples).digests, examples, strict=True), key=itemgetter(0))[:LIMIT]
    examples = [example for _, example in named]
    questions = digest("asked", [name for name, _ in named])
    if last is not None and last["content"] == content and last["asked"] == questions:
        return {**last, "new": False}
    choice: WordChoice = {
        "weight": None,
        "default": LEXICAL_WEIGHT,
        "why": "no train or dev question says which documents hold its answer",
        "recipe": recipe,
        "content": content,
        "sketch": sketch,
        "asked": questions,
    }
    groups = len({example.group for example in examples})
    if 0 < groups < FEWEST:
        choice["why"] = f"the labelled train and dev questions are of {counted(groups, 'group')}, {FEWEST} are needed"
    elif groups:
        comparison = _compared(search, part, examples, Rules(latency=0), progress=progress)
        choice = {**choice, **comparison, "weight": comparison["chosen"], "why": ""}
    weighing.keep(search.catalogue.notes, choice)
    return {**choice, "new": True}


def _hybrid(part: Part) -> Part:
    """The blend of two legs that a retriever is, or searches with."""
    options: Any = loading.options("retrievers", part.name, part.options)
    if part.name == "hybrid" and options.fusion == "scores":
        return part
    search = RetrieverSettings.of(options).search
    if isinstance(search, Part):
        return _hybrid(search)
    raise ConfigError(
        "no weight to choose: the search does not combine two legs",
        cure='Set [retrieval.retriever] name = "hybrid" with fusion = "scores".',
    )


def _compared(
    search: Search,
    part: Part,
    examples: Sequence[Example],
    rules: Rules,
    *,
    also: float = LEXICAL_WEIGHT,
    progress: Progress,
) -> WordWeights:
    weights = sorted({*WEIGHTS, LEXICAL_WEIGHT, also})
    matrix = _measured(search, part, examples, rules, weights=weights, progress=progress)
    gains, errors = compared(matrix, Questions.of(examples).groups.tolist(), weights.index(LEXICAL_WEIGHT))
    believed = shrunk(weights, gains, errors)
    synthetic = all(example.origin == "synthetic" for example in examples)
    rows: list[WeightRow] = []
    for weight, mean, gain, error, true in zip(
        weights, np.nanmean(matrix, axis=0), gains, errors, believed, strict=True
    ):
        rows.append(
            {
                "weight": weight,
                "mean": float(mean),
                "gain": float(gain),
                "error": float(error),
                "believed": float(true),
            }
        )
    return {
        "metric": titled(METRICS[0]),
        "questions": len(examples),
        "groups": len({example.group for example in examples}),
        "default": LEXICAL_WEIGHT,
        "chosen": LEXICAL_WEIGHT if synthetic else chosen(weights, believed),
        "synthetic": synthetic,
        "weights": rows,
    }


def _measured(
    search: Search,
    part: Part,
    examples: Sequence[Example],
    rules: Rules,
    *,
    weights: Sequence[float],
    progress: Progress,
) -> NDArray[np.float64]:
    """Scores of the search with each weight, shape (questions, weights); NaN where a question has none.

    Rewriters that ask a model, rerankers and the agent around the search are left out: their price is not paid for a
    weight.
    """
    # Both legs are searched once: a weight changes only how their hits are blended.
    once: Any = _Once(search.index, search.embedder)
    parts = replace(search.parts, index=once, embedder=once)
    metric = scorers(rules.unit)[METRICS[0]]
    queries = [query(example, search.filter) for example in examples]
    matrix = np.empty((len(queries), len(weights)))
    # A rewriter that asks a model would ask it again for every weight.
    plain = [one.model_dump(mode="json") for one in search.config.retrieval.rewriters if not _asks_model(one)]
    for place, weight in enumerate(weights):
        blended = {"name": part.name, "options": {**part.options, "lexical": weight}}
        options = {"rewriters": plain, "retriever": blended}
        retriever: Retriever = loading.make("retrievers", "pipeline", options, parts=parts)
        for begin in range(0, len(queries), _BATCH):
            here = slice(begin, begin + _BATCH)
            retrievals = retriever.retrieve(queries[here], rules.hits)
            answers = [Answer(text="", hits=one.hits) for one in retrievals]
            matrix[here, place] = numbers(
                [metric.score(example, answer) for example, answer in zip(examples[here], answers, strict=True)]
            )
            progress("weigh the words", place * len(queries) + min(begin + _BATCH, len(queries)), matrix.size)
    return matrix


def _asks_model(part: Part) -> bool:
    settings = RewriterSettings.of(loading.options("rewriters", part.name, part.options))
    return settings.by == "model" or settings.most > 0


class _Once:
    """An index and its embedder that are asked the same question once."""

    version = 1

    def __init__(self, index: Index, embedder: Embedder) -> None:
        self._index = index
        self._embedder = embedder
        self._hits: dict[tuple[str, str, int, str], list[Hit]] = {}
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index if hasattr(self._index, name) else self._embedder, name)

    def unknown(self, text: str) -> int:
        """As `CountsUnknown.unknown`; 0 where the embedder cannot tell."""
        return self._embedder.unknown(text) if isinstance(self._embedder, CountsUnknown) else 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As `Embedder.embed`."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._embedder.embed(new), strict=True))
        return np.stack([self._vectors[text] for text in texts])

    def search(
        self,
        texts: Sequence[str],
        vectors: Any,
        k: int,
        *,
        leg: str = "hybrid",
        version: int | None = None,
        filter: Filter | None = None,
    ) -> list[list[Hit]]:
        """As `Index.search`."""
        which = filter or Filter()
        keys = [(text, leg, k, repr((which, version))) for text in texts]
        new = [place for place, key in enumerate(keys) if key not in self._hits]
        if new:
            new_texts = [texts[place] for place in new]
            near = None if vectors is None else np.stack([vectors[place] for place in new])
            hit_lists = self._index.search(new_texts, near, k, leg=leg, version=version, filter=which)
            self._hits.update(zip([keys[place] for place in new], hit_lists, strict=True))
        return [self._hits[key] for key in keys]


def compared(
    matrix: NDArray[Any], groups: Sequence[Any], first: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean paired difference of every column to column `first`, and its cluster-robust standard error.

    Args:
        matrix: Scores, shape (questions, weights); rows with a NaN are left out.
        groups: Group of each question.
        first: The column of the weight in force.
    """
    complete = ~np.isnan(matrix).any(axis=1)  # paired: a question counts for all weights or for none
    scores = matrix[complete]
    names, numbered = np.unique(np.asarray([str(group) for group in groups])[complete], return_inverse=True)
    differences = scores - scores[:, [first]]
    gains = differences.mean(axis=0) if len(scores) else np.zeros(matrix.shape[1])
    if len(names) < 2:
        return gains, np.full(matrix.shape[1], np.inf)
    sums = np.zeros((len(names), matrix.shape[1]))  # (groups, weights): residuals
    np.add.at(sums, numbered, differences - gains)
    return gains, np.array([intervals.standard_error(column, len(scores)) for column in sums.T])


def shrunk(weights: Sequence[float], gains: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shrink measured gains: their mean given those measured here and those seen on other sets (`ELSEWHERE`).

    Normal means with known errors (Efron & Morris 1975): each gain is weighed by the inverse of its squared error, the
    expectation by the inverse of its variance between collections. An error of infinity leaves the expectation.

    Args:
        weights: Of the word leg.
        gains: On the default, shape (weights,).
        errors: Their standard errors, shape (weights,).
    """
    known = sorted(ELSEWHERE)
    expected = np.interp(weights, known, [ELSEWHERE[weight][0] for weight in known])
    between = np.interp(weights, known, [ELSEWHERE[weight][1] for weight in known])
    within = np.minimum(errors, 1e6) ** 2  # infinity, of a single group, would give inf / inf
    believed = (gains * between**2 + expected * within) / (between**2 + within)
    return np.where(np.asarray(weights) == LEXICAL_WEIGHT, 0.0, believed)


def chosen(weights: Sequence[float], believed: Sequence[float] | NDArray[Any]) -> float:
    """The weight whose believed gain is largest, if it is above `MARGIN`; else the default. Ties go to the nearest."""
    gains = dict(zip(weights, believed, strict=True))
    best = max(gains, key=lambda weight: (round(float(gains[weight]), 9), -abs(weight - LEXICAL_WEIGHT)))
    return best if gains[best] > MARGIN else LEXICAL_WEIGHT
