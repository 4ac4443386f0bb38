"""De-quantise a GGUF model once to bf16 safetensors that every runtime reads.

Run in a child process (``python -m twofold.models.dequantize MODEL.gguf DIRECTORY``): several times the model's size is
needed for a moment, and torch stays out of the parent.
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
        path.chmod(0o644)
    _without(target / "config.json", "transformers_version", "_name_or_path", "_model_name_or_path")
    _without(target / "generation_config.json", "transformers_version", "_from_model_config")
    _without(target / "tokenizer_config.json", "is_local", "local_files_only")
    _restore_digits(source, target / "tokenizer.json")


def _forget_quantisation(model: Any) -> None:
    """The weights are full numbers now; without this, saving would write the quantisation marker."""
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model, "quantization_method"):
        del model.quantization_method


def _without(path: Path, *keys: str) -> None:
    """Drop what differs between library versions but changes no answer: the digest stays the same everywhere."""
    if not path.is_file():
        return
    values = json.loads(path.read_text(encoding="utf-8"))
    for key in keys:
        values.pop(key, None)
    path.write_text(json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _restore_digits(source: Path, tokenizer: Path) -> None:
    """Put back the digit splitting that the GGUF names (``tokenizer.ggml.pre = "smollm"``) and transformers drops."""
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
