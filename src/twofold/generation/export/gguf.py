"""Write a model directory (safetensors, tokenizer, chat template) as one f16 GGUF file.

OpenVINO GenAI loads such a file directly. Names and metadata follow llama.cpp's conversion; the rows of the query and
key projections of Llama are put into its order (pairs of rotary dimensions interleaved instead of halved).
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.errors import ModelError
from twofold.models.adapter_layers import chat_template_of
from twofold.models.tensors import Weights, as_f16
from twofold.types import Json

ARCHITECTURES = {"LlamaForCausalLM": "llama", "Qwen2ForCausalLM": "qwen2", "Qwen3ForCausalLM": "qwen3"}
_OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_INNER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")
# the patterns of Llama 3 and Qwen2, which differ in the numbers only
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|NUMBERS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CURE = 'Set [generation.generator.options].runtime = "transformers".'


def why_not(model: Path) -> str:
    """The reason why this model cannot be written as GGUF for OpenVINO; empty when it can."""
    return _why_not(model.absolute(), _state(model / "config.json"), _state(model / "tokenizer.json"))


def _state(path: Path) -> tuple[int, int]:
    """Time and size of a file, by which a changed one is noticed; zeros where there is none."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


# A generator asks twice when it is made, and a plan makes nine: a tokenizer of 49,152 tokens takes 50 ms to read.
@lru_cache(maxsize=16)
def _why_not(model: Path, *_states: tuple[int, int]) -> str:
    config = _json(model / "config.json")
    architecture = (config.get("architectures") or ["?"])[0]
    if architecture not in ARCHITECTURES:
        return f"its architecture is {architecture}"
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", "default") != "default":
        return f"its rotary embedding is scaled ({rope['rope_type']})"
    tokenizer = _json(model / "tokenizer.json").get("model", {})
    if tokenizer.get("type") != "BPE" or tokenizer.get("byte_fallback"):
        return "its tokenizer is not byte-level BPE"
    return ""


def why_not_elsewhere(model: Path) -> str:
    """The reason why programs such as llama.cpp would misread a GGUF file of this model; empty when they would not."""
    reason = why_not(model)
    if not reason and not pre_tokenizer(_json(model / "tokenizer.json")):
        return "its pre-tokenizer is none that llama.cpp knows: other programs would split text otherwise"
    return reason


def write_gguf(model: Path, target: Path, *, chat_template: str | None = None) -> None:
    """Write `model` as f16 GGUF (norms and biases stay f32).

    Args:
        model: Directory with ``config.json``, ``tokenizer.json`` and safetensors.
        target: The file to write.
        chat_template: Template for other programs; None for the model's own. OpenVINO gets token ids and needs none.

    Raises:
        ModelError: the architecture or tokenizer cannot be written, or a weight is beyond f16.
    """
    import gguf

    reason = why_not(model)
    if reason:
        raise ModelError(f"OpenVINO cannot load {model.name}: {reason}", cure=_CURE)
    config = _json(model / "config.json")
    architecture = ARCHITECTURES[config["architectures"][0]]
    writer = gguf.GGUFWriter(str(target), architecture)
    _describe(writer, config)
    _add_tokenizer(writer, gguf, model, config)
    if chat_template is None:
        settings = model / "tokenizer_config.json"
        chat_template = chat_template_of(model, _json(settings) if settings.is_file() else {})
    if chat_template:
        writer.add_chat_template(chat_template)
    weights = Weights(model)
    heads: int = config["num_attention_heads"]
    key_heads: int = config.get("num_key_value_heads") or heads
    for name in weights:
        place = renamed(name)
        # tied: readers use the embedding where the file has no output layer
        if place == "output.weight" and config.get("tie_word_embeddings"):
            continue
        values = weights[name]
        if architecture == "llama" and ".self_attn.q_proj." in name:
            values = interleaved(values, heads)
        elif architecture == "llama" and ".self_attn.k_proj." in name:
            values = interleaved(values, key_heads)
        writer.add_tensor(place, values if values.ndim == 1 else as_f16(name, values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_tokenizer(model: Path, target: Path) -> None:
    """Write a GGUF file with the tokenizer only: OpenVINO needs its vocabulary for JSON schemas and stop strings.

    Raises:
        ModelError: ``config.json`` or ``tokenizer.json`` cannot be read.
    """
    import gguf

    config = _json(model / "config.json")
    writer = gguf.GGUFWriter(str(target), ARCHITECTURES[config["architectures"][0]])
    _describe(writer, config)
    _add_tokenizer(writer, gguf, model, config)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def renamed(name: str) -> str:
    """The GGUF name of a tensor.

    Raises:
        ModelError: GGUF has no name for the tensor.
    """
    stem, _, suffix = name.rpartition(".")
    match = _LAYER.fullmatch(stem)
    known = _OUTER.get(stem) if match is None else _INNER.get(match[2])
    if known is None or suffix not in ("weight", "bias"):
        raise ModelError(f"the GGUF format has no name for the tensor {name!r}", cure=_CURE)
    return f"{known}.{suffix}" if match is None else f"blk.{match[1]}.{known}.{suffix}"


def interleaved(values: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of every head from two halves to pairs, as llama.cpp's ``permute`` does."""
    shape = values.shape  # (heads · head width, inputs), or (heads · head width,) for a bias
    halves = values.reshape(heads, 2, shape[0] // heads // 2, *shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(shape))


def _describe(writer: Any, config: Json) -> None:
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or {}
    # 1: mostly f16
    writer.add_file_type(1)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads", heads))
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0))
    writer.add_rope_dimension_count(head)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: Any, gguf: Any, model: Path, config: Json) -> None:
    tokenizer = _json(model / "tokenizer.json")
    added = {entry["id"]: entry for entry in tokenizer["added_tokens"]}
    by_id = {number: text for text, number in tokenizer["model"]["vocab"].items()}
    by_id.update({number: entry["content"] for number, entry in added.items()})
    kinds = gguf.TokenType
    tokens, types = [], []
    for number in range(config["vocab_size"]):
        # ids without a token (of a vocabulary rounded up) still need a row each
        tokens.append(by_id.get(number, f"[PAD{number}]"))
        if number in added:
            types.append(kinds.CONTROL if added[number]["special"] else kinds.USER_DEFINED)
        else:
            types.append(kinds.NORMAL if number in by_id else kinds.UNUSED)
    # GGUF's name for byte-level BPE
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(tokenizer) or "gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    # older files join a pair with a blank, newer ones list both
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    # the chat template writes the token with which a text begins
    writer.add_add_bos_token(False)
    ends = config.get("eos_token_id")
    ends = ends if isinstance(ends, list) else [ends]
    # the file can name one
    if ends[0] is not None:
        writer.add_eos_token_id(ends[0])
        padding = config.get("pad_token_id")
        writer.add_pad_token_id(ends[0] if padding is None else padding)
    if config.get("bos_token_id") is not None:
        writer.add_bos_token_id(config["bos_token_id"])


_SPLITS = {
    _WORDS.replace("NUMBERS", r"\p{N}{1,3}"): "llama-bpe",
    _WORDS.replace("NUMBERS", r"\p{N}"): "qwen2",
}
"""Pattern by which a tokenizer splits text before it merges bytes → llama.cpp's name."""


def pre_tokenizer(tokenizer: Json) -> str:
    """llama.cpp's name for the way in which a ``tokenizer.json`` splits text; empty where it has no name."""
    declared = tokenizer.get("pre_tokenizer") or {}
    steps = declared.get("pretokenizers", [declared])
    patterns = [(step.get("pattern") or {}).get("Regex", "") for step in steps if step.get("type") == "Split"]
    if patterns:
        return _SPLITS.get(patterns[0], "") if len(patterns) == 1 else ""
    kinds = [step.get("type") for step in steps]
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        return "smollm"
    return "gpt-2" if kinds == ["ByteLevel"] else ""


def _json(path: Path) -> Json:
    try:
        value: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the model's {path.name} cannot be read: {error}", file=path) from error
    return value
