"""A tuned model for other programs: PEFT directory, merged safetensors, GGUF merged or as adapter, each checked.

The check runs in a child process (``python -m twofold.generation.export.exporting JOB.json``), so that torch stays out
of the parent. The reference is the base with the unmerged adapter in f32, which continues every prompt greedily. The
exported files are loaded back by their own reader, and read prompt and continuation in one pass. They agree on a prompt
when their most likely token equals the reference's at every place, that is, when they would continue it equally.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twofold.errors import ModelError
from twofold.files import writing
from twofold.generation.export import gguf, gguf_adapter, merging
from twofold.host import children
from twofold.models.adapter_layers import WEIGHTS, open_model, open_tuned, recipe, virtual
from twofold.plugins.results import ExportedForm, Parity
from twofold.types import Adapter, Json

FORMS = ("peft", "safetensors", "gguf", "gguf-adapter")
NEW = 12
"""Tokens of each continuation."""
_MOVED = 8
"""Prompts on which the adapter's own effect is measured."""
_TOLERANCE = 0.1
"""Largest logit difference of an export, relative to the adapter's own effect on the logits."""
_SMALL = 0.05
"""Logit difference that is accepted in any case: f16 rounding, where an adapter has hardly any effect."""
GGUF = "model-f16.gguf"
"""File of the form ``gguf``."""
_GGUF_ADAPTER = "adapter-f16.gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """A tuned model to export."""

    model: Path
    """Directory of the base weights."""
    weights: str
    """Their digest."""
    adapter: Adapter
    """The adapter on them."""
    chat_template: str = ""
    """The template of its prompts; forms that are whole models contain it."""

    @property
    def whole(self) -> Path | None:
        """Directory of a model that was tuned in all its weights; None for an adapter."""
        place = Path(self.adapter.path) / WEIGHTS
        return place if place.is_dir() else None


def why_not(tuned: Tuned, form: str) -> str:
    """The reason why this model cannot be exported in a form; empty when it can."""
    if form not in FORMS:
        return f"there is no such format; known: {', '.join(FORMS)}"
    if tuned.whole is not None:
        if form in ("peft", "gguf-adapter"):
            return "all weights were tuned, so there is no adapter"
        return gguf.why_not_elsewhere(tuned.whole) if form == "gguf" else ""
    adapter_recipe = recipe(Path(tuned.adapter.path))
    kind = adapter_recipe.get("peft_type")
    if form == "peft":
        return f"it is {kind}, which PEFT does not have" if kind in ("BOTTLENECK", "FULL") else ""
    if form == "gguf-adapter" and (kind != "LORA" or adapter_recipe.get("use_dora") or adapter_recipe["base"]):
        return f"such a file holds plain LoRA only, this is {'QLoRA' if adapter_recipe['base'] else kind}"
    reason = merging.why_not(tuned.adapter)
    return reason or (gguf.why_not_elsewhere(tuned.model) if form.startswith("gguf") else "")


def export(
    tuned: Tuned,
    target: Path,
    *,
    forms: Sequence[str],
    prompts: Sequence[Sequence[int]],
    progress: Callable[[str, int, int], None],
) -> list[ExportedForm]:
    """Write each form to ``target/FORM`` and check it; an existing directory is replaced once the new one is complete.

    Args:
        tuned: The model to export.
        target: Directory to write to.
        forms: Some of `FORMS`.
        prompts: Token ids of the prompts for the check.
        progress: Called with stage, done and total.

    Raises:
        ModelError: a form cannot represent this model, or the written files do not behave like it.
    """
    for form in forms:
        reason = why_not(tuned, form)
        if reason:
            can = [other for other in FORMS if not why_not(tuned, other)]
            cure = (
                f"It can be exported as: {', '.join(can)}." if can else "It answers where it is; it cannot be exported."
            )
            raise ModelError(f"{tuned.adapter.key} cannot be exported as {form}: {reason}", cure=cure)
    target.mkdir(parents=True, exist_ok=True)
    works: dict[str, Path] = {}
    try:
        for form in dict.fromkeys(forms):
            works[form] = Path(tempfile.mkdtemp(prefix=f".{form}-", dir=target))
            works[form].chmod(0o755)  # `mkdtemp` makes a directory for its owner only
            _write(tuned, form, works[form])
            progress(f"write {form}", 1, 1)
        checked = _check(tuned, works, prompts, progress)
        for form, work in works.items():
            _accept(tuned, form, checked[form])
            final = target / form
            if final.exists():
                shutil.rmtree(final)
            writing.put(work, final)
    finally:
        for work in works.values():
            shutil.rmtree(work, ignore_errors=True)
    return [{"format": form, "path": str(target / form), "parity": checked[form]} for form in works]


def _write(tuned: Tuned, form: str, work: Path) -> None:
    source = Path(tuned.adapter.path)
    if form == "peft":
        for name in ("adapter_config.json", "adapter_model.safetensors", "method.json"):
            if (source / name).is_file():
                shutil.copyfile(source / name, work / name)
    elif tuned.whole is not None and form == "safetensors":
        shutil.copytree(tuned.whole, work, dirs_exist_ok=True)
    elif form == "safetensors":
        merging.merge(tuned.model, tuned.adapter, work)
    elif form == "gguf":
        whole = tuned.whole or merging.merged(tuned.model, tuned.weights, tuned.adapter)
        gguf.write_gguf(whole, work / GGUF, chat_template=tuned.chat_template)
    else:
        gguf_adapter.write_adapter(tuned.model, source, work / _GGUF_ADAPTER)
    # the template in use, which need not be the model's own
    if form == "safetensors" and tuned.chat_template:
        (work / "chat_template.jinja").write_text(tuned.chat_template, encoding="utf-8")


def _accept(tuned: Tuned, form: str, parity: Parity) -> None:
    apart, moved = parity["logits"], parity["moved"]
    if apart > _SMALL and apart > _TOLERANCE * moved:
        raise ModelError(
            f"{tuned.adapter.key} as {form} does not answer like the trained model: its logits differ by {apart:.3g}, "
            f"the adapter itself moves them by {moved:.3g}; nothing was exported",
            cure="Export as peft, the adapter as it was trained.",
        )


def _check(
    tuned: Tuned, works: dict[str, Path], prompts: Sequence[Sequence[int]], progress: Callable[[str, int, int], None]
) -> dict[str, Parity]:
    with tempfile.TemporaryDirectory() as folder:
        job, out = Path(folder) / "job.json", Path(folder) / "out.json"
        request = {
            "base": str(tuned.model),
            "adapter": tuned.adapter.path,
            "works": {form: str(work) for form, work in works.items()},
            "prompts": [list(ids) for ids in prompts],
            "out": str(out),
        }
        job.write_text(json.dumps(request), encoding="utf-8")
        log = Path(folder) / "log"
        with (
            log.open("wb") as log_file,
            children.running(
                "twofold.generation.export.exporting", [str(job)], stdout=subprocess.PIPE, stderr=log_file
            ) as child,
        ):
            assert child.stdout is not None
            for line in child.stdout:
                progress(*json.loads(line))
            status = child.wait()
        if status != 0:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise ModelError(
                f"the check of the exported files failed (status {status}): {last[0]}; nothing was exported"
            )
        report: dict[str, Parity] = json.loads(out.read_text(encoding="utf-8"))
        return report


# ---------------------------------------------------------------- the child


def _tell(stage: str, done: int, total: int) -> None:
    sys.stdout.write(json.dumps([stage, done, total]) + "\n")
    sys.stdout.flush()


def _child(job: Json) -> Json:
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    prompts: list[list[int]] = job["prompts"]

    def load(path: str, **more: Any) -> Any:
        return transformers.AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, **more, trust_remote_code=False
        ).eval()

    base, adapter = Path(job["base"]), Path(job["adapter"])

    def places(model: Any, prompt: list[int], continuation: list[int]) -> Any:
        """Logits before each token of the continuation, (its length, vocabulary)."""
        with torch.inference_mode():
            return model(input_ids=torch.tensor([[*prompt, *continuation[:-1]]])).logits[0, -len(continuation) :]

    tuned = open_tuned(base, adapter, dtype="f32").eval()
    # stand for the virtual tokens of a prompt or prefix
    lead = [0] * virtual(tuned)
    references: list[tuple[list[int], Any]] = []
    for number, prompt in enumerate(prompts, 1):
        input_ids = torch.tensor([[*lead, *prompt]])
        with torch.inference_mode():
            done = tuned.generate(
                input_ids=input_ids,
                attention_mask=torch.ones_like(input_ids),
                max_new_tokens=NEW,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
        references.append((done.sequences[0, input_ids.shape[1] :].tolist(), torch.cat(done.logits)))
        _tell("reference", number, len(prompts))
    moved = 0.0
    # one model in memory at a time
    del tuned
    plain = load(job["base"])
    for prompt, (continuation, logits) in list(zip(prompts, references, strict=True))[:_MOVED]:
        moved = max(moved, float((places(plain, prompt, continuation) - logits).abs().max()))
    del plain
    report: Json = {}
    for form, work in job["works"].items():
        model, reader = _loaded(form, Path(work), base, load)
        greedy, apart = 0, 0.0
        for number, (prompt, (continuation, logits)) in enumerate(zip(prompts, references, strict=True), 1):
            form_logits = places(model, prompt, continuation)
            greedy += form_logits.argmax(-1).tolist() == continuation
            apart = max(apart, float((form_logits - logits).abs().max()))
            _tell(f"check {form}", number, len(prompts))
        del model
        agreement = {"prompts": len(prompts), "greedy": greedy, "logits": apart, "moved": moved, "new_tokens": NEW}
        report[form] = {**agreement, "reader": reader}
    return report


def _loaded(form: str, work: Path, base: Path, load: Callable[..., Any]) -> tuple[Any, str]:
    """The exported files loaded by their reader, and the reader's name."""
    import peft
    import torch

    version = importlib.metadata.version
    if form == "peft":
        # tuned on a rounded base, it must be read on the same one
        rounded = (work / "method.json").is_file() and recipe(work)["base"] == "nf4"
        network = open_model(base, dtype="f32", nf4=True) if rounded else load(str(base))
        reader = f"peft {version('peft')}" + (", base rounded to NF4" if rounded else "")
        return peft.PeftModel.from_pretrained(network, str(work)).eval(), reader
    if form == "safetensors":
        return load(str(work)), f"transformers {version('transformers')}"
    if form == "gguf":
        return load(str(work), gguf_file=GGUF), f"transformers {version('transformers')}, gguf_file="
    tensors, alpha = gguf_adapter.read_adapter(base, work / _GGUF_ADAPTER)
    # the file has alpha only: layers and rank are those of its tensors
    layers = sorted({name.removeprefix(gguf_adapter.PREFIX).partition(".lora_")[0] for name in tensors})
    rank = next(values.shape[0] for name, values in tensors.items() if ".lora_A." in name)
    settings = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=layers)
    network = peft.get_peft_model(load(str(base)), settings).eval()
    state = {name: torch.from_numpy(values.copy()) for name, values in tensors.items()}
    loading = peft.set_peft_model_state_dict(network, state)
    # missing keys are the base model's own
    if loading.unexpected_keys:
        raise ModelError(f"{loading.unexpected_keys[0]!r} has no place in the model", file=work)
    return network, f"gguf {version('gguf')}, read back into peft {version('peft')}"


if __name__ == "__main__":
    _job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    _out = _child(_job)
    Path(_job["out"]).write_text(json.dumps(_out), encoding="utf-8")
