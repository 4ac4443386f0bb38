"""Optimised prompts: chosen once for what is configured, stored, and found again to answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twofold.errors import StoreError
from twofold.examples.questions import Questions
from twofold.hashing import plain
from twofold.store.artifacts import Artifacts
from twofold.types import Example, Json

_FILE = "prompt.json"
"""The prompt's file in its artifact."""
KIND = "prompt"
"""Kind of its artifact."""


@dataclass(frozen=True, kw_only=True)
class OptimisedPrompt:
    """The instruction and the shots that an arm's prompts are made with."""

    instruction: str
    """See `prompt_candidates.Candidate.instruction`; empty: the project's own."""
    shots: tuple[str, ...]
    """Digests of the examples shown, in order."""
    report: Mapping[str, object]
    """How it was chosen, for the record; empty for a candidate."""

    def examples(self, known: Sequence[Example], *, arm: str) -> tuple[Example, ...]:
        """The examples shown.

        Args:
            known: Examples among which they are.
            arm: Name of the arm, for the message.

        Raises:
            StoreError: one of them is not there any more.
        """
        known = Questions.of(known)
        by_digest = dict(zip(known.digests, known, strict=True))
        lost = [digest for digest in self.shots if digest not in by_digest]
        if lost:
            raise StoreError(
                f"the optimised prompt of {arm} shows {len(lost)} of its {len(self.shots)} examples that are not among "
                "the project's examples any more",
                cure="Run `twofold study`, which optimises the prompt anew, or ask another arm.",
            )
        return tuple(by_digest[digest] for digest in self.shots)


def stored(artifacts: Artifacts, key: str, *, arm: str) -> OptimisedPrompt:
    """The prompt of this key.

    Args:
        artifacts: Store it.
        key: Its key.
        arm: Name of the arm, for the message.

    Raises:
        StoreError: it is not there.
    """
    path = artifacts.find(key)
    if path is None:
        raise StoreError(
            f"no prompt is optimised for the arm {arm} with these examples, documents and settings",
            cure=f"Run `twofold study --arms {arm}`, which optimises it, or ask the arm "
            f"{arm.replace('optimised', 'prompt')}.",
        )
    values = json.loads((path / _FILE).read_text(encoding="utf-8"))
    return OptimisedPrompt(
        instruction=values["instruction"], shots=tuple(values["shots"]), report={**values["report"], "key": key}
    )


def keep(artifacts: Artifacts, key: str, prompt: OptimisedPrompt, *, documents: Sequence[str]) -> None:
    """Store a prompt.

    Args:
        artifacts: Store it.
        key: Its key.
        prompt: The prompt.
        documents: Ids of the documents that the training examples are about, for receipts of what was forgotten.
    """
    values: Json = {"instruction": prompt.instruction, "shots": list(prompt.shots), "report": prompt.report}
    path = artifacts.working(key) / _FILE
    path.write_text(json.dumps(plain(values), ensure_ascii=False, indent=1), encoding="utf-8")
    artifacts.finish(key, {"kind": KIND, "documents": list(documents)})
