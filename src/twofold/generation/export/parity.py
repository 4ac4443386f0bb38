"""Check once per merged copy that a merged adapter still answers like the unmerged one.

The reference is transformers with the PEFT adapter unmerged, in f32, in a child process
(``python -m twofold.generation.export.parity JOB.json``), so that torch stays out of the parent. The child reports the
largest difference of the next-token logits between merged and unmerged weights, the adapter's own effect on them, and
greedy continuations to compare with those of the runtime.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twofold.errors import ModelError
from twofold.files import writing
from twofold.generation.runtimes.contract import Request, Result, Tokens
from twofold.hashing import digest
from twofold.host import children
from twofold.host.cache import cache_root, taken
from twofold.types import Adapter, Json, Message

_VERSION = 1
"""Raised when the check changes, so that stored results are not used."""
_NEW = 12
"""Tokens of each continuation."""
_QUESTIONS = (
    "What is the capital of France?",
    "How should I store potatoes over the winter?",
    "[1] Soil should be tested every three years.\n[2] Bees need water.\n\nQuestion: How often should soil be tested?",
    "List three reasons to rotate crops.",
)
_TOLERANCE = 0.5
"""Largest difference of merged and unmerged logits, relative to the adapter's own effect on them."""

Generate = Callable[[Sequence[Request]], list[Result]]


def check(paths: tuple[Path, Path], adapter: Adapter, tokens: Tokens, *, key: str, generate: Generate) -> Json:
    """Compare merged and unmerged weights, or return the result of an earlier comparison.

    Args:
        paths: Directories of base and merged weights.
        adapter: The merged adapter.
        tokens: Tokenizer of the model.
        key: Key of the generator, which depends on runtime, dtype and merged weights.
        generate: The runtime under test.

    Returns:
        ``{"checked", "logits", "moved", "greedy", "prompts"}``: largest logit difference merged to unmerged (f32),
        largest logit change by the adapter, share of equal greedy continuations of the runtime to unmerged f32. Where
        torch or peft are missing: ``{"checked": False, "because"}``.

    Raises:
        ModelError: the merged weights do not behave like the adapter.
    """
    missing = [name for name in ("torch", "transformers", "peft") if importlib.util.find_spec(name) is None]
    if missing:
        return {"checked": False, "because": f"{', '.join(missing)} not installed"}
    place = cache_root() / "parity" / f"{digest('parity', [key, _VERSION]).partition(':')[2]}.json"
    if place.is_file():
        try:
            report: Json = json.loads(place.read_text(encoding="utf-8"))
        except ValueError:
            # a damaged result is no result: the copy is checked again
            place.unlink(missing_ok=True)
        else:
            taken(place)
            return report
    prompts = [tokens.encode(tokens.text([Message(role="user", content=question)])) for question in _QUESTIONS]
    reference = _reference(paths, adapter, prompts)
    results = generate([Request(ids=ids, max_tokens=_NEW) for ids in prompts])
    same = sum(
        _trimmed(result.ids, tokens) == _trimmed(wanted, tokens)
        for result, wanted in zip(results, reference["greedy"], strict=True)
    )
    logits, moved = float(reference["logits"]), float(reference["moved"])
    # so small a difference is rounding, as in `exporting`
    if logits > 0.05 and logits > _TOLERANCE * moved:
        raise ModelError(
            f"the merged copy of {adapter.key} does not answer like the adapter: its logits differ by {logits:.3g}, "
            f"the adapter itself moves them by {moved:.3g}",
            cure='Set [generation.generator.options].runtime = "transformers": it applies the adapter unmerged.',
        )
    report = {"checked": True, "logits": logits, "moved": moved, "greedy": same / len(prompts), "prompts": len(prompts)}
    place.parent.mkdir(parents=True, exist_ok=True)
    writing.write(place, json.dumps(report), shared=True)
    taken(place)
    return report


def _trimmed(ids: Sequence[int], tokens: Tokens) -> list[int]:
    return [i for i in ids if i not in tokens.ends]


def _reference(paths: tuple[Path, Path], adapter: Adapter, prompts: Sequence[Sequence[int]]) -> Json:
    with tempfile.TemporaryDirectory() as folder:
        job, out = Path(folder) / "job.json", Path(folder) / "out.json"
        request = {"base": str(paths[0]), "merged": str(paths[1]), "adapter": adapter.path, "out": str(out)}
        job.write_text(json.dumps({**request, "prompts": prompts}), encoding="utf-8")
        log = Path(folder) / "log"
        status = children.run("twofold.generation.export.parity", [str(job)], log=log)
        if status != 0:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise ModelError(
                f"the parity check of {adapter.key} failed (status {status}): {last[0]}",
                cure="Set [generation.generator.options].parity = false to skip the check.",
            )
        answers: Json = json.loads(out.read_text(encoding="utf-8"))
        return answers


def _child(job: Json) -> Json:
    import torch
    import transformers

    from twofold.models.adapter_layers import open_tuned

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    def load(path: str) -> Any:
        return transformers.AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, trust_remote_code=False
        ).eval()

    def last(model: object) -> list[object]:
        with torch.inference_mode():
            return [model(torch.tensor([ids])).logits[0, -1] for ids in job["prompts"]]  # type: ignore[operator]

    with_merged = last(load(job["merged"]))
    plain = last(load(job["base"]))
    model = open_tuned(Path(job["base"]), Path(job["adapter"]), dtype="f32").eval()
    tuned = last(model)
    greedy = []
    with torch.inference_mode():
        for ids in job["prompts"]:
            input_ids = torch.tensor([ids])
            generated = model.generate(
                input_ids=input_ids,
                attention_mask=torch.ones_like(input_ids),
                max_new_tokens=_NEW,
                do_sample=False,
                # none, whatever the model's generation_config contains
                repetition_penalty=1.0,
            )
            greedy.append(generated[0, len(ids) :].tolist())

    def apart(left: list[object], right: list[object]) -> float:
        return max(float((a - b).abs().max()) for a, b in zip(left, right, strict=True))  # type: ignore[operator]

    return {"logits": apart(with_merged, tuned), "moved": apart(plain, tuned), "greedy": greedy}


if __name__ == "__main__":
    _job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(_job["out"]).write_text(json.dumps(_child(_job)), encoding="utf-8")
