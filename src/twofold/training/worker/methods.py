"""The seam between the loop and the tuning methods (heavy leaf).

The loop asks a method twice: `adapted` opens the base model and makes ready what is learned (whatever requires a
gradient afterwards), and `save` writes it as `adapter_layers.open_tuned` reads it. The rest is the same for all.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from twofold.errors import TrainingError
from twofold.models import adapter_layers
from twofold.training.encoding import Encoder
from twofold.training.options import AdapterOptions, FitOptions, Ia3Options, LoraOptions, PrefixOptions, PromptOptions
from twofold.training.worker.network import plain_of

# As the families of models name them.
_KEYS_VALUES = ("k_proj", "v_proj", "key", "value", "k", "v", "query_key_value", "qkv_proj", "c_attn", "Wqkv")
_LAST = ("down_proj", "fc2", "dense_4h_to_h", "fc_out", "mlp.c_proj", "w2", "ff_out")


def device() -> str:
    """The device that trains."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def adapted(source: Path, options: FitOptions, encoder: Encoder, *, seed: int) -> Any:
    """The base model on the device that trains it, with what `options` learns; everything else is frozen.

    One that is to be spread over processes is left on the CPU.

    Raises:
        ModelError, MissingExtra: see `adapter_layers.open_model`.
        TrainingError: the layers to adapt are not there.
    """
    dtype: adapter_layers.Dtype = "bf16" if options.dtype == "bf16" else "f32"
    network = adapter_layers.open_model(source, dtype=dtype, nf4=options.method == "qlora")
    # What is to be spread is moved afterwards, in parts: the whole need not fit on one device.
    if not options.shard:
        network.to(device())
    # Before anything is drawn, so that a resumed run begins with the same adapter.
    torch.manual_seed(seed)
    if options.method == "full":
        return network
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    if isinstance(options, LoraOptions):
        return _lora(network, options)
    if isinstance(options, Ia3Options):
        return _ia3(network, options)
    if isinstance(options, AdapterOptions):
        adapter_layers.add_bottlenecks(network, options.width, placement=options.placement)
    elif isinstance(options, PromptOptions):
        ids = torch.tensor([_beginning(options, encoder)], device=network.device)
        if isinstance(options, PrefixOptions):
            adapter_layers.add_prefix(network, adapter_layers.prefix_of(network, ids))
        else:
            with torch.no_grad():
                adapter_layers.add_prompt(network, network.get_input_embeddings()(ids)[0].clone())  # (tokens, width)
    return network


def save(network: Any, directory: Path, *, source: Path, options: FitOptions) -> None:
    """Write what was learned to `directory`: PEFT's files, or for all weights a model directory within it."""
    rounded = rounded_names(network)
    described = {"method": options.method, "base": "nf4" if rounded else "", "dtype": options.dtype, "rounded": rounded}
    (directory / "method.json").write_text(json.dumps(described, indent=1), encoding="utf-8")
    if options.method == "full":
        target = directory / adapter_layers.WEIGHTS
        network.save_pretrained(target)
        for path in source.iterdir():
            # The tokenizer's files; not the base's weights, nor the note on where the base came from.
            copied = path.suffix in (".json", ".jinja", ".model") and "safetensors" not in path.name
            if copied and not (target / path.name).exists() and path.name != "twofold-model.json":
                shutil.copyfile(path, target / path.name)
        if options.chat_template:
            (target / "chat_template.jinja").write_text(options.chat_template, encoding="utf-8")
        return _write(directory, {"peft_type": "FULL"})
    if isinstance(options, (LoraOptions, Ia3Options)):
        network.save_pretrained(directory)
        return None
    from safetensors.torch import save_file

    values = {name: p.detach().cpu().contiguous() for name, p in adapter_layers.added(network).items()}
    if isinstance(options, AdapterOptions):
        _write(directory, {"peft_type": "BOTTLENECK", "width": options.width, "placement": options.placement})
    else:
        (embeddings,) = values.values()
        prefix = isinstance(options, PrefixOptions)
        values = {"prompt_embeddings": adapter_layers.prefix_to_peft(embeddings) if prefix else embeddings}
        _prompt_config(network, len(values["prompt_embeddings"]), embeddings, prefix=prefix).save_pretrained(directory)
    save_file(values, directory / "adapter_model.safetensors")
    return None


def _prompt_config(network: Any, count: int, values: Tensor, *, prefix: bool) -> Any:
    # a prefix is (layers, 2, heads, tokens, width of a head), a prompt (tokens, width)
    """PEFT's own description of a prompt or prefix, so that PEFT alone can load it too."""
    from peft import PrefixTuningConfig, PromptTuningConfig

    config = network.config.get_text_config()
    heads = values.shape[2] if prefix else config.num_attention_heads
    width = values.shape[2] * values.shape[4] if prefix else values.shape[1]
    shape = {
        "task_type": "CAUSAL_LM",
        "num_virtual_tokens": count,
        "token_dim": width,
        "num_layers": config.num_hidden_layers,
        "num_attention_heads": heads,
        "num_transformer_submodules": 1,
        "base_model_name_or_path": "",
        "inference_mode": True,
    }
    return PrefixTuningConfig(encoder_hidden_size=width, **shape) if prefix else PromptTuningConfig(**shape)


def _write(directory: Path, value: dict[str, Any]) -> None:
    (directory / "adapter_config.json").write_text(json.dumps(value, indent=1), encoding="utf-8")


def _beginning(options: PromptOptions, encoder: Encoder) -> list[int]:
    ids = list(encoder.tokenizer.encode(options.text, add_special_tokens=False).ids)
    if not ids:
        raise TrainingError(
            "the option `text` contains no tokens",
            cure="Set `text` in [tuning.trainer.options] to the words that the prompt begins with.",
        )
    return (ids * (options.tokens // len(ids) + 1))[: options.tokens]


def rounded_names(network: Any) -> list[str]:
    """Names in the plain model of the layers held in 4 bits."""
    plain = plain_of(network)
    return [n.replace(".base_layer", "") for n, m in plain.named_modules() if hasattr(m, "parametrizations")]


def linear_names(network: Any) -> list[str]:
    """Names of the linear layers inside the model's blocks, the output layer apart."""
    head = network.get_output_embeddings()
    # By name: torch makes a class of its own of a linear layer whose weights it computes from 4 bits.
    named = network.base_model.named_modules()
    kinds = ("Linear", "ParametrizedLinear", "Conv1D")
    return sorted({n.rpartition(".")[2] for n, m in named if type(m).__name__ in kinds and m is not head})


def _lora(network: Any, options: LoraOptions) -> Any:
    """LoRA layers (PEFT's, so that the files are PEFT's)."""
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import Linear

    depth = network.config.get_text_config().num_hidden_layers
    recipe = LoraConfig(
        task_type="CAUSAL_LM",
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        use_rslora=options.rslora,
        use_dora=options.dora,
        target_modules=list(options.targets) or linear_names(network),
        layers_to_transform=list(range(depth - options.layers, depth)) if options.layers else None,
    )
    # PEFT would otherwise hold its weights in float32 and cast in every product.
    adapted = _with_peft(get_peft_model, network, recipe, autocast_adapter_dtype=False)
    # Exactly this class: PEFT's subclasses, and dropout or DoRA, compute something else.
    for layer in adapted.modules():
        if type(layer) is Linear and options.dropout == 0 and not options.dora and not layer.fan_in_fan_out:
            _fuse(layer)
    return adapted


def _ia3(network: Any, options: Ia3Options) -> Any:
    from peft import IA3Config, get_peft_model

    linear = [n for n, m in network.base_model.named_modules() if type(m).__name__ in ("Linear", "Conv1D")]
    last_parts = {name.rpartition(".")[2] for name in linear}

    def is_there(ending: str) -> bool:
        return any(f".{name}".endswith(f".{ending}") for name in linear)

    ends = options.feedforward or tuple(filter(is_there, _LAST))[:1]
    keys = options.targets or tuple(name for name in _KEYS_VALUES if name in last_parts)
    if not ends or not keys:
        known = ", ".join(linear_names(network))
        raise TrainingError(
            "the model's keys, values or feed-forward layers have names that are not known",
            cure=f"Name them in the options `targets` and `feedforward`; the model has {known}.",
        )
    recipe = IA3Config(task_type="CAUSAL_LM", target_modules=[*keys, *ends], feedforward_modules=list(ends))
    return _with_peft(get_peft_model, network, recipe, autocast_adapter_dtype=False)


def _with_peft(make: Any, *positional: Any, **more: Any) -> Any:
    try:
        return make(*positional, **more)
    except ValueError as error:
        raise TrainingError(
            f"the layers cannot be adapted: {error}", cure="Check [tuning.trainer.options].targets."
        ) from error


class _LowRank(torch.autograd.Function):  # type: ignore[misc]
    """y = x Wᵀ + s (x Aᵀ) Bᵀ with W frozen: one pass over the output, and back one over the input's gradient.

    W is asked of its layer both times: one held in 4 bits is not kept in full between.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, base: Any, a: Tensor, b: Tensor, scale: float) -> Tensor:  # noqa: PLR0917
        flat = x.reshape(-1, x.shape[-1])  # (tokens, in)
        low = flat @ a.t()  # (tokens, rank)
        out = flat @ base.weight.t()  # (tokens, out)
        out.addmm_(low, b.t(), alpha=scale)  # in place: no second (tokens, out) is made
        ctx.save_for_backward(flat, a, b, low)
        ctx.base = base
        ctx.scale = scale
        ctx.shape = x.shape
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor, None]:
        flat, a, b, low = ctx.saved_tensors
        grad = grads[0].reshape(-1, len(b))  # (tokens, out)
        down = (grad @ b).mul_(ctx.scale)  # (tokens, rank)
        dx = (grad @ ctx.base.weight).addmm_(down, a).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return dx, None, down.t() @ flat, (grad.t() @ low).mul_(ctx.scale), None


def _fuse(layer: Any) -> None:
    # Weights are asked of their layers each time: what is spread over processes changes hands.
    down = layer.lora_A["default"]
    up = layer.lora_B["default"]
    base = layer.base_layer
    scale = layer.scaling["default"]
    plain = layer.forward

    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if layer.merged or layer.disable_adapters:
            out: Tensor = plain(x, *args, **kwargs)
            return out
        product: Tensor = _LowRank.apply(x, base, down.weight, up.weight, scale)
        return product if base.bias is None else product + base.bias

    layer.forward = forward
