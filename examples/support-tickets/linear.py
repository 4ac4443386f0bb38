"""The linear classifier that `twofold advise` speaks of, on the test questions of the project's latest study.

``linear.py PROJECT``: it learns the train and dev examples, as `advise` does, and is compared question by question with
every arm of the study.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from twofold import Project
from twofold.reports.archive import named, read_answers
from twofold.stats.intervals import contrasts, estimate


def compare(directory: Path) -> None:
    """Print the classifier's share of right labels, and how much more of them each arm gets right."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    with Project.open(directory) as project:
        learned = (*project.splits.train, *project.splits.dev)
        studies = project.records
    rows = read_answers(studies / named([path.name for path in sorted(studies.iterdir()) if path.is_dir()]))
    # The same model as in `advise`: letters within words, so that an unseen form of a known word counts.
    words = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2)
    model = make_pipeline(words, LinearSVC())
    model.fit([e.question for e in learned], [e.references[0] for e in learned])
    labels = model.predict([row["question"] for row in rows])
    linear = [float(label in row["references"]) for label, row in zip(labels, rows, strict=True)]
    share = estimate(linear)
    print(f"linear classifier, learned from {len(learned)} examples, on the {len(rows)} test questions of the study:")
    print(f"  accuracy {share.mean:.3f} [{share.low:.3f}, {share.high:.3f}]")
    for arm in rows[0]["arms"]:
        scores = [row["arms"][arm]["scores"]["accuracy"] for row in rows]
        # A failed answer has no score: its pair is left out.
        paired = [[math.nan if a is None else a, b] for a, b in zip(scores, linear, strict=True)]
        difference = contrasts(paired, None, {arm: [1, -1]})[arm]
        failed = f"; {scores.count(None)} failed answers left out" if None in scores else ""
        print(f"  {arm} − classifier: {difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]{failed}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    compare(Path(sys.argv[1]))
