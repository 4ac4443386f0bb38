"""A causal language model with the layers that a tuning method adds, the same in training and serving.

LoRA and IA³ layers are PEFT's. Soft prompts, prefixes and bottleneck layers are added by hooks, so that the model stays
that of transformers: with the first two, token ids begin with `virtual` placeholders, and everything downstream
(padding, positions, key-value caches, shared prefixes) works as for real tokens. Their files are PEFT's as well.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path
from typing import Any, Literal

from twofold.errors import MissingExtra, ModelError, install
from twofold.types import Json

Dtype = Literal["bf16", "f32"]
_COUNT = "twofold_virtual"
_PROMPT, _KEYS = "twofold_prompt", "twofold_prefix"
_BOTTLENECK = "twofold_adapter"
WEIGHTS = "model"
"""Folder of a wholly tuned model within its artifact."""


def recipe(adapter: Path) -> Json:
    """The settings by which an artifact's weights apply: PEFT's ``adapter_config.json`` and Twofold's ``method.json``.

    ``peft_type`` is LORA, IA3, PROMPT_TUNING or PREFIX_TUNING, or Twofold's BOTTLENECK or FULL; ``base`` is ``nf4``
    where the base weights were rounded to 4 bits, ``dtype`` is their type before that.

    Raises:
        ModelError: a file cannot be read.
    """
    settings: Json = {"base": "", "dtype": "bf16"}
    for path in (adapter / "adapter_config.json", adapter / "method.json"):
        if path.name == "method.json" and not path.is_file():
            continue
        try:
            settings |= json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"the adapter's configuration cannot be read: {error}", file=path) from error
    return settings


def chat_template_of(directory: Path, settings: Json) -> str:
    """The chat template in a model directory: of a separate file, else of the tokenizer's settings.

    Args:
        directory: Model directory.
        settings: Content of ``tokenizer_config.json``; of several named templates ``default`` is used.

    Returns:
        Jinja text; empty where the model has no template.
    """
    beside = directory / "chat_template.jinja"
    template = beside.read_text(encoding="utf-8") if beside.is_file() else settings.get("chat_template")
    if isinstance(template, list):
        template = next((one.get("template") for one in template if one.get("name") == "default"), "")
    return template if isinstance(template, str) else ""


def open_model(directory: Path, *, dtype: Dtype, nf4: bool = False) -> Any:
    """The plain model, with SDPA attention where the architecture has it.

    Args:
        directory: Model directory.
        dtype: Type of weights and arithmetic.
        nf4: Store the linear layers in 4 bits (`round_to_nf4`).

    Raises:
        ModelError: transformers cannot open it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    try:
        network = AutoModelForCausalLM.from_pretrained(str(directory), dtype=kind, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"transformers cannot open the model: {str(error).splitlines()[0]}",
            file=directory,
            cure="Choose a causal language model that the installed transformers knows.",
        ) from error
    if nf4:
        round_to_nf4(network)
    return network


def open_tuned(directory: Path, adapter: Path, *, dtype: Dtype) -> Any:
    """The model with a finished artifact's weights, unmerged, ready to generate (see `virtual`).

    Args:
        directory: Directory of the base weights.
        adapter: The artifact's directory.
        dtype: Type of weights and arithmetic.

    Raises:
        ModelError: the artifact cannot be read, or does not fit the model.
        MissingExtra: PEFT is needed and not installed.
    """
    settings = recipe(adapter)
    kind = settings.get("peft_type")
    if kind == "FULL":
        return open_model(adapter / WEIGHTS, dtype=dtype)
    network = open_model(directory, dtype=dtype, nf4=settings["base"] == "nf4")
    if kind not in ("PROMPT_TUNING", "PREFIX_TUNING", "BOTTLENECK"):
        try:
            import peft
        except ModuleNotFoundError as error:
            raise MissingExtra(
                "applying an adapter needs the package 'peft', which is not installed",
                cure=install("train"),
            ) from error
        return peft.PeftModel.from_pretrained(network, str(adapter))
    from safetensors.torch import load_file

    tensors = load_file(adapter / "adapter_model.safetensors")
    if kind == "BOTTLENECK":
        add_bottlenecks(network, settings["width"], placement=settings["placement"])
        missing = set(added(network)) ^ set(tensors)  # compared here, as strict=False below ignores both
        if missing:
            raise ModelError(f"the adapter does not fit the model: {min(missing)!r}", file=adapter)
        network.load_state_dict({k: v.to(network.dtype) for k, v in tensors.items()}, strict=False)
    elif kind == "PROMPT_TUNING":
        add_prompt(network, tensors["prompt_embeddings"].to(network.dtype))
    else:
        add_prefix(network, prefix_from_peft(network, tensors["prompt_embeddings"].to(network.dtype)))
    return network


def virtual(network: Any) -> int:
    """Number of placeholders (any token id) that must precede every row of token ids, padding included."""
    return int(getattr(network, _COUNT, 0))


def added(network: Any) -> dict[str, Any]:
    """Name in the network → parameter, for the parameters that the hooks use."""
    marks = (_PROMPT, _KEYS, _BOTTLENECK)
    parameters = {}
    for name, parameter in network.named_parameters():
        if any(mark in name for mark in marks):
            parameters[name] = parameter
    return parameters


def layers_of(network: Any) -> list[Any]:
    """The model's layers in order; empty where they are not one list of modules."""
    import torch

    depth = network.config.get_text_config().num_hidden_layers
    module_lists = (m for m in network.base_model.modules() if isinstance(m, torch.nn.ModuleList))
    # the layers are the one list of modules that is as long as the model is deep
    return list(next((m for m in module_lists if len(m) == depth), ()))


# ---------------------------------------------------------------- soft prompts and prefixes


def add_prompt(network: Any, vectors: Any) -> None:
    """Let `vectors`, of shape (virtual tokens, hidden), stand for the placeholders (Lester et al. 2021)."""
    import torch

    network.register_parameter(_PROMPT, torch.nn.Parameter(vectors))
    setattr(network, _COUNT, len(vectors))
    words = network.get_input_embeddings()

    def before(_: Any, args: Any, kwargs: Json) -> tuple[Any, Json]:
        ids, kwargs = _ids(args, kwargs)
        if ids is None or _begun(kwargs):
            return (), kwargs
        prompt = getattr(network, _PROMPT)
        # (virtual tokens, hidden) → (batch, virtual tokens, hidden)
        front = prompt.to(words.weight.dtype)[None].expand(len(ids), -1, -1)
        embedded = torch.cat([front, words(ids[:, len(prompt) :])], dim=1)
        return (), {**kwargs, "input_ids": None, "inputs_embeds": embedded}

    network.base_model.register_forward_pre_hook(before, with_kwargs=True)


def add_prefix(network: Any, keys_values: Any) -> None:
    """Let learned keys and values stand for the placeholders in every layer (Li & Liang 2021, arXiv:2101.00190).

    Args:
        network: The model.
        keys_values: Shape (layers, 2, key-value heads, virtual tokens, head width); keys as the cache holds them.
    """
    import torch
    from transformers import DynamicCache

    network.register_parameter(_KEYS, torch.nn.Parameter(keys_values))
    count = keys_values.shape[3]
    setattr(network, _COUNT, count)

    def before(_: Any, args: Any, kwargs: Json) -> tuple[Any, Json]:
        ids, kwargs = _ids(args, kwargs)
        if ids is None or _begun(kwargs):
            return (), kwargs
        cache = kwargs.get("past_key_values")
        cache = DynamicCache() if cache is None else cache
        # each (key-value heads, virtual tokens, head width), the same for every row of the batch
        for layer, (keys, values) in enumerate(getattr(network, _KEYS)):
            cache.update(keys.expand(len(ids), -1, -1, -1), values.expand(len(ids), -1, -1, -1), layer)
        changed = {**kwargs, "input_ids": ids[:, count:], "past_key_values": cache}
        if kwargs.get("position_ids") is not None:
            changed["position_ids"] = kwargs["position_ids"][..., count:]
        # a mask of (batch, 1, queries, keys): the placeholders are keys of the cache, no queries
        if getattr(kwargs.get("attention_mask"), "ndim", 0) == 4:
            changed["attention_mask"] = kwargs["attention_mask"][:, :, count:]
        # tells `after` which step to pad: later ones have no placeholders
        waiting.append(True)
        return (), changed

    def after(_: Any, __: Any, out: Any) -> Any:
        if waiting:
            waiting.clear()
            hidden = out.last_hidden_state
            # zeros for the placeholders, so that the output has a row for each token id that came in
            out.last_hidden_state = torch.nn.functional.pad(hidden, (0, 0, count, 0))
        return out

    waiting: list[bool] = []
    network.base_model.register_forward_pre_hook(before, with_kwargs=True)
    network.base_model.register_forward_hook(after)


def prefix_of(network: Any, ids: Any) -> Any:
    """Keys and values of real tokens, shape (1, n): a prefix that begins with them acts exactly like these tokens."""
    import torch

    with torch.no_grad():
        cache = network.base_model(input_ids=ids, use_cache=True).past_key_values
    # (layers, 2, key-value heads, tokens, width of a head)
    return torch.stack([torch.stack([layer.keys[0], layer.values[0]]) for layer in cache.layers]).contiguous()


def prefix_from_peft(network: Any, flat: Any) -> Any:
    """Convert PEFT's shape (virtual tokens, layers · 2 · width) to that of `add_prefix`."""
    config = network.config.get_text_config()
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # (tokens, layers, 2, heads, width) → (layers, 2, heads, tokens, width)
    return flat.view(len(flat), config.num_hidden_layers, 2, -1, width).permute(1, 2, 3, 0, 4).contiguous()


def prefix_to_peft(keys_values: Any) -> Any:
    """The inverse of `prefix_from_peft`."""
    # (layers, 2, heads, tokens, width) → (tokens, layers · 2 · heads · width)
    return keys_values.permute(3, 0, 1, 2, 4).reshape(keys_values.shape[3], -1).contiguous()


def _ids(args: Any, kwargs: Json) -> tuple[Any, Json]:
    if args:
        kwargs = {**kwargs, "input_ids": args[0]}
    return kwargs.get("input_ids"), kwargs


def _begun(kwargs: Json) -> bool:
    """Is this a later step of a generation, whose cache already contains the placeholders?"""
    cache = kwargs.get("past_key_values")
    return cache is not None and cache.get_seq_length() > 0


# ---------------------------------------------------------------- four bits

NORMAL = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
"""The 16 values of NormalFloat (Dettmers et al. 2023, arXiv:2305.14314, appendix E)."""
BLOCK = 64
"""Weights that share one scale."""


def round_to_nf4(network: Any) -> None:
    """Store the linear layers inside the model's blocks as 4-bit NormalFloat: two weights a byte, a scale for each 64.

    A layer's ``weight`` returns them in the model's dtype at each access. Layers whose weights are not a whole number
    of blocks stay as they are. For the backward pass a layer keeps its 4 bits and makes the weights again: of an
    ordinary product autograd would keep the weights in full, and so those of all layers at once.
    """
    import torch

    class Nf4(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, like: Any) -> None:
            super().__init__()
            self.shape, self.dtype = like.shape, like.dtype
            self.register_buffer("values", torch.tensor(NORMAL, device=like.device), persistent=False)

        def right_inverse(self, weight: Any) -> tuple[Any, Any]:
            blocks = weight.detach().float().reshape(-1, BLOCK)  # (blocks, 64)
            scale = blocks.abs().amax(1, keepdim=True)  # (blocks, 1)
            edges = (self.values[1:] + self.values[:-1]) / 2  # (15,): halfway between the 16 values
            places = torch.bucketize(blocks / torch.where(scale == 0, 1, scale), edges).to(torch.uint8)
            # two places of 4 bits in a byte
            return places[:, ::2] << 4 | places[:, 1::2], scale

        def forward(self, packed: Any, scale: Any) -> Any:
            if packed.is_cuda and _bitsandbytes():
                return nf4_by_kernel(packed, scale, self.values, dtype=self.dtype).reshape(self.shape)
            places = torch.stack([packed >> 4, packed & 15], dim=-1).reshape(len(packed), BLOCK)
            return (self.values[places.int()] * scale).to(self.dtype).reshape(self.shape)

    class Product(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, entering: Any, rounded: Any, bias: Any) -> Any:
            ctx.save_for_backward(rounded.original0, rounded.original1)
            ctx.weights, ctx.dtype = rounded[0], entering.dtype
            return torch.nn.functional.linear(entering, rounded(), bias)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            # Under autocast what enters is of another dtype than the product.
            weights = ctx.weights(*ctx.saved_tensors).to(gradient.dtype)
            return (gradient @ weights).to(ctx.dtype), None, None

    def forward(layer: Any, entering: Any) -> Any:
        return Product.apply(entering, layer.parametrizations.weight, layer.bias)

    for _, layer in nf4_candidates(network):
        layer.requires_grad_(False)
        # unsafe: torch refuses a parametrisation that changes shape and type
        torch.nn.utils.parametrize.register_parametrization(layer, "weight", Nf4(layer.weight), unsafe=True)
        # the layer has a class of its own since
        type(layer).forward = forward


def nf4_by_kernel(packed: Any, scale: Any, values: Any, *, dtype: Any) -> Any:
    """The weights of `round_to_nf4` by a kernel of bitsandbytes, which packs them alike: one pass instead of five."""
    import torch
    from bitsandbytes.functional import QuantState, dequantize_4bit

    shape = torch.Size([2 * packed.numel()])
    state = QuantState(absmax=scale.flatten(), shape=shape, code=values, blocksize=BLOCK, quant_type="nf4", dtype=dtype)
    return dequantize_4bit(packed.reshape(-1, 1), state)


@functools.cache
def _bitsandbytes() -> bool:
    return importlib.util.find_spec("bitsandbytes") is not None


def nf4_candidates(network: Any) -> list[tuple[str, Any]]:
    """The layers that `round_to_nf4` rounds, with their names in the network."""
    import torch

    head = network.get_output_embeddings()
    candidates: list[tuple[str, Any]] = []
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.Linear) and layer is not head and layer.weight.numel() % BLOCK == 0:
            candidates.append((name, layer))
    return candidates


# ---------------------------------------------------------------- bottleneck layers


def add_bottlenecks(network: Any, width: int, *, placement: Literal["pfeiffer", "houlsby"]) -> None:
    """Put h + up(relu(down(h))) on the output of each layer's feed-forward part; ``houlsby``: its attention, too.

    Houlsby et al. 2019 (arXiv:1902.00751); Pfeiffer et al. 2021 (arXiv:2005.00247). `up` begins at zero, so the model
    is unchanged at first. Where a layer's feed-forward part is not a single module, the layer's output is adapted.

    Raises:
        ModelError: the layers cannot be found, or for ``houlsby`` an attention module of a known name is missing.
    """
    import torch

    config = network.config.get_text_config()
    layers = layers_of(network)
    if not layers:
        raise ModelError("the layers of this model cannot be found", cure='Use the method "lora".')
    for layer in layers:
        for names in _PLACES[:1] if placement == "pfeiffer" else _PLACES:
            part = next((getattr(layer, name) for name in names if hasattr(layer, name)), None)
            if part is None and names is not _PLACES[0]:
                raise ModelError("the model's attention cannot be found", cure='Set placement = "pfeiffer".')
            down = torch.nn.Linear(config.hidden_size, width, device=network.device, dtype=network.dtype)
            up = torch.nn.Linear(width, config.hidden_size, device=network.device, dtype=network.dtype)
            # what is added begins as 0, so that training begins at the base model
            torch.nn.init.zeros_(up.weight)
            torch.nn.init.zeros_(up.bias)
            extra = torch.nn.Sequential(down, torch.nn.ReLU(), up)
            layer.add_module(f"{_BOTTLENECK}_{names[0]}", extra)
            # without a part of a known name, the layer's whole output
            (layer if part is None else part).register_forward_hook(_beside(extra))


_PLACES = (
    ("mlp", "feed_forward", "ffn", "ff", "block_sparse_moe"),
    ("self_attn", "attn", "attention", "self_attention"),
)
"""Names that architectures of transformers give to the feed-forward part, and to the attention."""


def _beside(extra: Any) -> Any:
    def after(_: Any, __: Any, out: Any) -> Any:
        first = out[0] if isinstance(out, tuple) else out
        adapted = first + extra(first)
        return (adapted, *out[1:]) if isinstance(out, tuple) else adapted

    return after
