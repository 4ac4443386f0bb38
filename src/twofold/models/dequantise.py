"""De-quantise a GGUF model once to bf16 safetensors that every runtime reads.

This module runs in a child process (``python -m twofold.models.dequantise MODEL.gguf DIRECTORY``): the conversion takes
several times the model's size in memory, and torch stays out of the parent.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def dequantise(source: Path, target: Path) -> None:
    """Write `source` as bf16 safetensors with tokenizer and chat template.

    Args:
        source: A GGUF file of an architecture that transformers reads.
        target: Directory to make.
    """
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder, name = str(source.parent), source.name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name, trust_remote_code=False)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=torch.bfloat16, trust_remote_code=False
    )
    _forget_quantisation(model)
    target.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    for path in target.iterdir():
        path.chmod(0o644)  # readable for all, as a cache may be shared by several users
    _without(target / "config.json", "transformers_version", "_name_or_path", "_model_name_or_path")
    _without(target / "generation_config.json", "transformers_version", "_from_model_config")
    _without(target / "tokenizer_config.json", "is_local", "local_files_only")
    _restore_digits(source, target / "tokenizer.json")


def _forget_quantisation(model: Any) -> None:
    """Remove the marks of quantisation, which saving would write: the weights are full numbers now."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model, "quantization_method"):
        del model.quantization_method


def _without(path: Path, *keys: str) -> None:
    """Drop keys that differ between library versions and change no answer: the digest shall be the same everywhere."""
    if not path.is_file():
        return
    values = json.loads(path.read_text(encoding="utf-8"))
    for key in keys:
        values.pop(key, None)
    path.write_text(json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _restore_digits(source: Path, tokenizer: Path) -> None:
    """Restore the splitting of digits that the GGUF names (``tokenizer.ggml.pre = "smollm"``) and transformers drops.

    Without it numbers are tokenised otherwise than in the model's training (docs/notebook.md).
    """
    from gguf import GGUFReader

    field = GGUFReader(source).get_field("tokenizer.ggml.pre")
    if field is None or field.contents() != "smollm":
        return
    values = json.loads(tokenizer.read_text(encoding="utf-8"))
    if values["pre_tokenizer"]["type"] == "ByteLevel":
        digits = {"type": "Digits", "individual_digits": True}
        values["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, values["pre_tokenizer"]]}
        tokenizer.write_text(json.dumps(values, indent=2, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    dequantise(Path(sys.argv[1]), Path(sys.argv[2]))
