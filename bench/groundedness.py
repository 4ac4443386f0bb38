"""Does the detector of unsupported answers hold on sets that it was not trained on? Prints Markdown tables.

    python bench/groundedness.py --data ../shared/data [--json FILE] [--write]

Five sets are fitted on: replies judged by people against the knowledge given (`begin`), right and planted wrong answers
to questions (`halueval`), answers of models and people rated for faithfulness (`mtrag`; a mean below 3 of 4 counts as
not grounded), and errors planted in right answers (`metrics.planting`) of `clapnq` and `dstc11`. Each set in turn is
left out: the detector is fitted on the other four and judged on it. Errors planted in `medquad` (long answers),
`covidqa` and `agvaluate` are judged by the detector fitted on all five. Columns:

- AUROC with a 95 % interval (jackknife over contexts or documents, conversations for `mtrag`);
- found / false alarms: at the threshold chosen on out-of-set predictions of the other sets;
- own found / own false alarms: at the threshold that a project takes from its own right answers
  (`detector.own_threshold`), here from those of one half of the groups and measured on the other, both ways;
- Brier: mean squared error of the probability, beside that of the share of errors alone;
- ms: of one answer, features and probability, one core.

`--write` fits on all five and writes the coefficients that ship (`metrics/detector.json`): only numbers leave the data.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from twofold.metrics import detector
from twofold.metrics.planting import KINDS, Texts, errors
from twofold.metrics.support import SIGNS, of_answer, statements
from twofold.stats import intervals

PENALTY = 0.003
"""Weight of the squared coefficients; .001 to .01 move no area on a set left out by more than .02."""
GENERIC = 2
"""Label of replies of `begin` that say nothing checkable: reported, not trained on."""
FAITHFUL = 3.0
"""Mean rating of `mtrag` from which an answer counts as grounded."""
MOST = 300
"""Answers of a set in which errors are planted."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """An answer and the passages that it is judged by."""

    question: str
    answer: str
    passages: tuple[str, ...]
    group: str
    """Unit of resampling: a document, for example."""
    kind: str = ""
    """Kind of the planted error, or ``clean``; empty where errors are real."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A set, read."""

    signs: np.ndarray
    """(answers, signs)"""
    sentences: np.ndarray
    """(rows, signs), of one answer after the other: its own, and those of its sentences that are not brief."""
    starts: np.ndarray
    """(answers,): place of an answer's first row in `sentences`."""
    wrong: np.ndarray
    """(answers,): 1 not grounded, 0 grounded, `GENERIC`."""
    groups: np.ndarray
    kinds: np.ndarray
    """(answers,): kind of the planted error, else empty."""
    ms: float


def lines(path: Path) -> list[dict]:
    file = path if path.exists() else path.with_suffix(path.suffix + ".gz")
    data = file.read_bytes()
    text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode()
    # only a line feed ends a row: texts may hold other separators
    return [json.loads(row) for row in text.split("\n") if row]


def claims(path: Path) -> list[tuple[Sample, int]]:
    labels = {"grounded": 0, "not_grounded": 1, "generic": GENERIC}
    out = []
    for row in lines(path):
        sample = Sample(question=row["question"], answer=row["response"], passages=(row["context"],),
                        group=row["context"])  # fmt: skip
        out.append((sample, labels[row["label"]]))
    return out


def rated(folder: Path) -> list[tuple[Sample, int]]:
    texts = {row["id"]: row["text"] for row in lines(folder / "documents.jsonl")}
    out = []
    for row in lines(folder / "rated_answers.jsonl"):
        if row["doc_ids"]:  # without passages readers judged by nothing that is here
            passages = tuple(texts[name] for name in row["doc_ids"])
            sample = Sample(question=row["messages"][-1]["content"], answer=row["response"], passages=passages,
                            group=row["id"].split("-")[1])  # fmt: skip
            out.append((sample, int(row["faithfulness_mean"] < FAITHFUL)))
    return out


def spoilt(folder: Path) -> list[tuple[Sample, int]]:
    texts = {row["id"]: row["text"] for row in lines(folder / "documents.jsonl")}
    samples = []
    for row in lines(folder / "examples.jsonl"):
        if row.get("answers") and row.get("doc_ids") and row.get("answerable", True):
            question = row["question"] if "question" in row else row["messages"][-1]["content"]
            passages = tuple(texts[name] for name in row["doc_ids"])
            samples.append(Sample(question=question, answer=row["answers"][0], passages=passages,
                                  group=row["doc_ids"][0]))  # fmt: skip
    chance = random.Random(0)
    out = []
    for place, sample in enumerate(samples[:MOST]):
        other = samples[(place + 1 + chance.randrange(len(samples) - 1)) % len(samples)]
        out.append((replace(sample, kind="clean"), 0))
        texts = Texts(right=sample.passages, others=other.passages)
        for kind, answer in errors(sample.answer, texts, chance=chance).items():
            out.append((replace(sample, answer=answer, kind=kind), 1))
    return out


def read(rows: Sequence[tuple[Sample, int]]) -> Rows:
    signs, wrong, groups, kinds, sentences, starts = [], [], [], [], [], []
    started = time.process_time()
    for sample, label in rows:
        parts = statements(sample.answer, sample.question, sample.passages)
        if parts:
            signs.append(of_answer(parts))
            starts.append(len(sentences))
            # The answer first, whose own probability is never the lesser for it: there may be no other that counts.
            sentences += [of_answer(parts), *(part.signs for part in parts if not part.brief)]
            wrong.append(label)
            groups.append(sample.group)
            kinds.append(sample.kind)
    ms = 1000 * (time.process_time() - started) / len(rows)
    return Rows(
        signs=np.array(signs),
        sentences=np.array(sentences),
        starts=np.array(starts),
        wrong=np.array(wrong),
        groups=np.unique(groups, return_inverse=True)[1],
        kinds=np.array(kinds),
        ms=ms,
    )


def fit(sets: Sequence[Rows]) -> tuple[np.ndarray, float]:
    """Logistic regression without negative weights: a sign of missing support never speaks for an answer.

    Every set weighs alike, and so do right and wrong answers within it.
    """
    from scipy.optimize import minimize

    signs = np.vstack([rows.signs[rows.wrong < GENERIC] for rows in sets])
    target = np.concatenate([2.0 * rows.wrong[rows.wrong < GENERIC] - 1 for rows in sets])
    weights = []
    for rows in sets:
        labels = rows.wrong[rows.wrong < GENERIC]
        weights.append(np.where(labels == 1, 1 / (labels == 1).sum(), 1 / (labels == 0).sum()))
    weight = np.concatenate(weights) / (2 * len(sets))

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        margin = target * (signs @ point[:-1] + point[-1])
        pull = -weight * target / (1 + np.exp(margin))
        slope = np.append(signs.T @ pull + PENALTY * point[:-1], pull.sum())
        return float(weight @ np.logaddexp(0, -margin) + PENALTY / 2 * point[:-1] @ point[:-1]), slope

    bounds = [(0.0, None)] * signs.shape[1] + [(None, None)]
    best = minimize(loss, np.zeros(signs.shape[1] + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    return best[:-1], float(best[-1])


def probabilities(model: tuple[np.ndarray, float], rows: Rows) -> np.ndarray:
    """As `Detector.judge`: of the answer, and at least a share of that of its worst sentence."""
    answers, sentences = (1 / (1 + np.exp(-(signs @ model[0] + model[1]))) for signs in (rows.signs, rows.sentences))
    return np.maximum(answers, detector.WORST * np.maximum.reduceat(sentences, rows.starts))


def threshold_of(chosen: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """The probability at which found minus false alarms is greatest, on average over sets."""
    grid = np.linspace(0.05, 0.95, 181)
    gains = []
    for predicted, wrong in chosen:
        flagged = predicted[:, None] >= grid
        gains.append(flagged[wrong == 1].mean(0) - flagged[wrong == 0].mean(0))
    # the middle of the best stretch: the greatest value alone would be chance
    mean = np.mean(gains, axis=0)
    return float(np.median(grid[mean >= mean.max() - 0.005]))


def left_out(sets: dict[str, Rows]) -> dict[str, np.ndarray]:
    """Set → probability of every answer by the detector fitted on the others."""
    out = {}
    for name, rows in sets.items():
        out[name] = probabilities(fit([other for key, other in sets.items() if key != name]), rows)
    return out


def judged(name: str, rows: Rows, others: dict[str, Rows]) -> dict:
    """A set judged by the detector that is fitted on others, at the threshold that is chosen on these."""
    predicted = probabilities(fit(list(others.values())), rows)
    within = left_out(others)
    checkable = {key: other.wrong < GENERIC for key, other in others.items()}
    cut = threshold_of([(within[k][checkable[k]], others[k].wrong[checkable[k]]) for k in others])
    use = rows.wrong < GENERIC
    scores, wrong = predicted[use], rows.wrong[use]
    items = list(zip(scores.tolist(), wrong.tolist(), strict=True))
    value = intervals.pooled(detector.area, items, rows.groups[use])
    row = {
        "set": name,
        "answers": len(wrong),
        "wrong": float(wrong.mean()),
        "auroc": [value.mean, value.low, value.high],
        "threshold": cut,
        "found": float((scores[wrong == 1] >= cut).mean()),
        "false_alarms": float((scores[wrong == 0] >= cut).mean()),
        "own": own_threshold(scores, wrong, rows.groups[use], cut),
        "brier": float(np.mean((scores - wrong) ** 2)),
        "brier_of_share": float(wrong.mean() * (1 - wrong.mean())),
        "ms": rows.ms,
    }
    generic = predicted[rows.wrong == GENERIC]
    if len(generic):
        row["generic_flagged"] = float((generic >= cut).mean())
    for kind in KINDS:
        chosen = (rows.kinds == kind) | (rows.kinds == "clean")
        if (rows.kinds == kind).sum() >= 10:
            pairs = list(zip(predicted[chosen].tolist(), rows.wrong[chosen].tolist(), strict=True))
            each = intervals.pooled(detector.area, pairs, rows.groups[chosen])
            row[kind] = [each.mean, each.low, each.high]
    return row


def own_threshold(scores: np.ndarray, wrong: np.ndarray, groups: np.ndarray, least: float) -> list[float]:
    """Share found and of false alarms at the threshold of a set's own right answers."""
    half = np.random.default_rng(0).permutation(groups.max() + 1)[groups] % 2
    found_shares, alarms = [], []
    for side in (0, 1):
        cut = detector.own_threshold(scores[(half == side) & (wrong == 0)].tolist(), least=least)
        rest = half != side
        found_shares.append((scores[rest & (wrong == 1)] >= cut).mean())
        alarms.append((scores[rest & (wrong == 0)] >= cut).mean())
    return [float(np.mean(found_shares)), float(np.mean(alarms))]


def table(rows: Sequence[dict]) -> str:
    def estimate(value: Sequence[float]) -> str:
        return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"

    out = ["| left out | answers | not grounded | AUROC | found | false alarms | own found | own false alarms "
           "| Brier (share alone) | ms |",
           "|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        cells = [row["set"], row["answers"], f"{row['wrong']:.2f}", estimate(row["auroc"])]
        cells += [f"{value:.2f}" for value in (row["found"], row["false_alarms"], *row["own"])]
        cells += [f"{row['brier']:.3f} ({row['brier_of_share']:.3f})", f"{row['ms']:.1f}"]
        out.append(f"| {' | '.join(map(str, cells))} |")
    out += ["", f"| planted in | {' | '.join(KINDS)} |", "|---|" + "---|" * len(KINDS)]
    for row in rows:
        if any(kind in row for kind in KINDS):
            out.append(f"| {row['set']} | {' | '.join(estimate(row[k]) if k in row else '-' for k in KINDS)} |")
    generic = [row for row in rows if "generic_flagged" in row]
    out += ["", *(f"{row['set']}: generic replies flagged {row['generic_flagged']:.2f}" for row in generic)]
    return "\n".join(out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="write the coefficients that ship")
    options = parser.parse_args()
    data = options.data
    sets = {
        "begin": read(claims(data / "begin" / "claims.jsonl")),
        "halueval": read(claims(data / "halueval" / "qa_claims.jsonl")),
        "mtrag": read(rated(data / "mtrag")),
        "clapnq, planted": read(spoilt(data / "clapnq")),
        "dstc11, planted": read(spoilt(data / "dstc11")),
    }
    rows = [judged(name, own, {k: v for k, v in sets.items() if k != name}) for name, own in sets.items()]
    for name in ("medquad", "covidqa", "agvaluate"):
        rows.append(judged(f"{name}, planted", read(spoilt(data / name)), sets))
    print(table(rows))
    weights, constant = fit(list(sets.values()))
    predicted = left_out(sets)
    usable = {name: one.wrong < GENERIC for name, one in sets.items()}
    cut = threshold_of([(predicted[name][usable[name]], sets[name].wrong[usable[name]]) for name in sets])
    print("\nfitted on all:", dict(zip(SIGNS, weights.round(2).tolist(), strict=True)), f"constant {constant:.2f}, "
          f"threshold {cut:.3f}")  # fmt: skip
    if options.write:
        values = {
            "signs": dict(zip(SIGNS, weights.round(4).tolist(), strict=True)),
            "constant": round(constant, 4),
            "threshold": round(cut, 3),
        }
        detector.FILE.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
