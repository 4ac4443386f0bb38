"""The model with LoRA layers, and its loss (heavy leaf).

LoRA weights live in the model's own dtype, so that no matmul casts, and follow float32 masters, which the optimiser
moves, so that small updates are not rounded away. Base and adapter are one autograd function with one pass over the
output forward and one over the input's gradient backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from twofold.training.lora import LoraOptions
from twofold.training.packing import Pack

_CHUNK = 512
"""Positions whose logits are held at once."""


class _LowRank(torch.autograd.Function):  # type: ignore[misc]
    """y = x Wᵀ + s (x Aᵀ) Bᵀ with W frozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:  # noqa: PLR0917
        flat = x.reshape(-1, x.shape[-1])
        low = flat @ a.t()
        out = flat @ w.t()
        out.addmm_(low, b.t(), alpha=scale)
        ctx.save_for_backward(flat, w, a, b, low)
        ctx.scale, ctx.shape = scale, x.shape
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor, None]:
        flat, w, a, b, low = ctx.saved_tensors
        grad = grads[0].reshape(-1, w.shape[0])
        down = (grad @ b).mul_(ctx.scale)
        dx = (grad @ w).addmm_(down, a).view(ctx.shape) if ctx.needs_input_grad[0] else None
        return dx, None, down.t() @ flat, (grad.t() @ low).mul_(ctx.scale), None


def adapted(source: Path, options: LoraOptions, *, seed: int) -> Any:
    """The base model with fresh LoRA layers (PEFT's, so that the files are PEFT's)."""
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import Linear
    from transformers import AutoModelForCausalLM

    dtype = torch.bfloat16 if options.dtype == "bf16" else torch.float32
    network = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, attn_implementation="sdpa")
    depth = network.config.num_hidden_layers
    torch.manual_seed(seed)
    recipe = LoraConfig(
        task_type="CAUSAL_LM",
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=list(options.targets),
        layers_to_transform=list(range(depth - options.layers, depth)) if options.layers else None,
    )
    made = get_peft_model(network, recipe, autocast_adapter_dtype=False)
    for layer in made.modules():
        if isinstance(layer, Linear) and options.dropout == 0 and layer.base_layer.bias is None:
            _fuse(layer)
    return made


def _fuse(layer: Any) -> None:
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    weight, scale = layer.base_layer.weight, layer.scaling["default"]
    plain = layer.forward

    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if layer.merged or layer.disable_adapters:
            out: Tensor = plain(x, *args, **kwargs)
            return out
        made: Tensor = _LowRank.apply(x, weight, a, b, scale)
        return made

    layer.forward = forward


class Masters:
    """Float32 copies of the trained weights; the live ones follow them."""

    def __init__(self, network: Any, options: LoraOptions) -> None:
        self.live = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.full = {name: nn.Parameter(p.detach().float()) for name, p in self.live.items()}
        self.options = options
        self.optimiser = torch.optim.AdamW(
            self.full.values(), lr=options.learning_rate, betas=(0.9, 0.99), weight_decay=options.weight_decay
        )

    def collect(self) -> None:
        """Add the live gradients of a micro-batch to the masters', in float32."""
        for name, live in self.live.items():
            if live.grad is None:
                continue
            full = self.full[name]
            full.grad = live.grad.float() if full.grad is None else full.grad.add_(live.grad)
            live.grad = None

    def update(self, factor: float) -> None:
        """One clipped optimiser step at `factor` times the learning rate."""
        nn.utils.clip_grad_norm_(list(self.full.values()), self.options.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = self.options.learning_rate * factor
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.publish()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def publish(self, values: dict[str, Tensor] | None = None) -> None:
        """Copy the masters (or `values`) into the live weights."""
        for name, live in self.live.items():
            live.copy_((values or self.full)[name])


def loss_of(network: Any, packs: Sequence[Pack]) -> Tensor:
    """Cross-entropy summed over the completion tokens of one micro-batch, in float32.

    Packs are right-padded. Logits are made at the places to predict only, `_CHUNK` at a time.
    """
    plain = network.get_base_model()
    longest = max(len(one.ids) for one in packs)
    ids = torch.zeros(len(packs), longest, dtype=torch.long)
    positions = torch.zeros(len(packs), longest, dtype=torch.long)
    places: list[int] = []
    wanted: list[int] = []
    for number, one in enumerate(packs):
        ids[number, : len(one.ids)] = torch.tensor(one.ids)
        positions[number, : len(one.ids)] = torch.tensor(one.positions)
        places += [number * longest + place for place in one.predict]
        wanted += one.wanted
    device = next(iter(plain.parameters())).device
    mask = branch_mask(packs, longest, plain.dtype)
    extra = {} if mask is None else {"attention_mask": mask.to(device), "position_ids": positions.to(device)}
    hidden = plain.base_model(input_ids=ids.to(device), use_cache=False, **extra).last_hidden_state
    picked = hidden.reshape(-1, hidden.shape[-1]).index_select(0, torch.tensor(places, device=device))
    targets, head = torch.tensor(wanted, device=device), plain.get_output_embeddings()
    total = picked.new_zeros((), dtype=torch.float32)
    for begin in range(0, len(wanted), _CHUNK):
        logits = head(picked[begin : begin + _CHUNK]).float()
        total = total + functional.cross_entropy(logits, targets[begin : begin + _CHUNK], reduction="sum")
    return total


def branch_mask(packs: Sequence[Pack], longest: int, dtype: torch.dtype) -> Tensor | None:
    """Additive mask of shape (packs, 1, longest, longest); None where plain causal attention is right.

    Right padding needs no mask: no real token sees a later one.
    """
    if all(max(one.branch, default=-1) <= 0 for one in packs):
        return None
    branch = torch.full((len(packs), longest), -2)
    for place, one in enumerate(packs):
        branch[place, : len(one.ids)] = torch.tensor(one.branch)
    seen = (branch[:, None, :] == -1) | (branch[:, None, :] == branch[:, :, None])
    seen &= torch.ones(longest, longest, dtype=torch.bool).tril()
    mask = torch.zeros(len(packs), 1, longest, longest, dtype=dtype)
    return mask.masked_fill_(~seen[:, None], torch.finfo(dtype).min)
