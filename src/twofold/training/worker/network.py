"""The loss of a network on packs of rows, and the weights that learn from it (heavy leaf).

Learned weights live in the model's own dtype, so that no matmul casts, and follow float32 masters, which the optimiser
moves, so that small updates are not rounded away.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from twofold.models import adapter_layers
from twofold.training.options import FitOptions
from twofold.training.packing import Pack
from twofold.training.sizing import CHUNK

_KEPT_SCORES = 1024
"""Longest packs whose attention scores are kept for the backward pass: length² numbers a head and layer."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


class Masters:
    """Float32 copies of the trained weights; the live ones follow them.

    Of weights that are spread over processes (`Crew.spread`) each process has its own part.
    """

    def __init__(self, network: Any, options: FitOptions) -> None:
        self.live = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.spread = {name for name, p in self.live.items() if isinstance(p, DTensor)}
        self.full = {name: nn.Parameter(_local_part(p).detach().float().clone()) for name, p in self.live.items()}
        self.rate = options.learning_rate
        self.options = options
        self.renew()

    def renew(self) -> None:
        """An optimiser that has seen nothing."""
        o = self.options
        values = list(self.full.values())
        self.optimiser = torch.optim.AdamW(
            values,
            lr=self.rate,
            betas=(0.9, 0.99),
            weight_decay=o.weight_decay,
            # one kernel for all weights on a GPU; on a CPU torch's choice stays
            fused=True if values and values[0].is_cuda else None,
        )

    def collect(self) -> None:
        """Add the live gradients of a micro-batch to the masters', in float32."""
        for name, live in self.live.items():
            if live.grad is None:
                continue
            full = self.full[name]
            grad = _local_part(live.grad)
            if name in self.spread:
                # FSDP gives the mean over processes; the loss is divided by the whole step's count, so the sum is due.
                grad *= torch.distributed.get_world_size()
            full.grad = grad.float() if full.grad is None else full.grad.add_(grad)
            live.grad = None

    def drop(self) -> None:
        """Forget the gradients of a step that failed."""
        for name, live in self.live.items():
            live.grad = self.full[name].grad = None

    def update(self, factor: float) -> None:
        """One clipped optimiser step at `factor` times the learning rate."""
        nn.utils.clip_grads_with_norm_(self.full.values(), self.options.clip, self._norm())
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * factor
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.publish()

    def _norm(self) -> Tensor:
        """Norm of the whole gradient."""
        gradients = {name: p.grad for name, p in self.full.items() if p.grad is not None}
        norm = nn.utils.get_total_norm([grad for name, grad in gradients.items() if name not in self.spread])
        if not self.spread:
            return norm
        # Every process has the whole of the weights that are not spread, and a part of the others: only these add up.
        squares = nn.utils.get_total_norm([g for name, g in gradients.items() if name in self.spread]).square()
        torch.distributed.all_reduce(squares)
        return (norm.square() + squares).sqrt()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def publish(self, values: dict[str, Tensor] | None = None) -> None:
        """Copy the masters (or `values`, of this process) into the live weights."""
        for name, live in self.live.items():
            _local_part(live).copy_((values or self.full)[name])

    def whole(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Values by weight, put together from all processes, which all ask; see `part`."""
        values = {}
        for name, value in parts.items():
            values[name] = _local_part(value).detach()
            if name in self.spread:
                like = self.live[name]
                spread = DTensor.from_local(
                    values[name], like.device_mesh, like.placements, shape=like.shape, stride=like.stride()
                )
                values[name] = spread.full_tensor()
        return values

    def part(self, name: str, value: Tensor) -> Tensor:
        """This process's part of a whole value."""
        if name not in self.spread:
            return value
        like = self.live[name]
        spread = distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
        return _local_part(spread)

    def snapshot(self) -> dict[str, Any]:
        """Masters and optimiser, whole, for a checkpoint; all processes ask."""
        state = self.optimiser.state_dict()
        numbers = {name: n for n, name in enumerate(self.full) if n in state["state"]}
        for key in _MOMENTS:
            moments = self.whole({name: state["state"][n][key] for name, n in numbers.items()})
            for name, n in numbers.items():
                # A new mapping: the optimiser goes on with its own part, the checkpoint has the whole.
                state["state"][n] = {**state["state"][n], key: moments[name]}
        return {"masters": self.whole(self.full), "optimiser": state}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Take up what `snapshot` gave."""
        names = list(self.full)
        for name, full in self.full.items():
            full.copy_(self.part(name, checkpoint["masters"][name]))
        for n, moments in checkpoint["optimiser"]["state"].items():
            moments.update({key: self.part(names[n], moments[key]) for key in _MOMENTS})
        self.optimiser.load_state_dict(checkpoint["optimiser"])


def _local_part(value: Any) -> Tensor:
    """This process's part of a tensor."""
    return value.to_local() if isinstance(value, DTensor) else value


def plain_of(network: Any) -> Any:
    """The causal language model inside PEFT's wrapper, if there is one."""
    return network.get_base_model() if hasattr(network, "get_base_model") else network


def token_losses(network: Any, packs: Sequence[Pack]) -> Tensor:
    """Cross-entropy of each wanted token of one micro-batch, float32, in the order of the packs.

    Packs are right-padded. Logits are made at the places to predict only, `CHUNK` at a time, by the model's own last
    stage (which may scale or cap them).
    """
    plain = plain_of(network)
    longest = max(len(packed.ids) for packed in packs)
    ids = torch.zeros(len(packs), longest, dtype=torch.long)  # (packs, length)
    # In a branch positions go on from the prefix, not from the branch before it.
    positions = torch.zeros(len(packs), longest, dtype=torch.long)
    places: list[int] = []
    target_ids: list[int] = []
    for number, packed in enumerate(packs):
        ids[number, : len(packed.ids)] = torch.tensor(packed.ids)
        positions[number, : len(packed.ids)] = torch.tensor(packed.positions)
        places += [number * longest + place for place in packed.predict]  # into (packs × length)
        target_ids += packed.targets
    device = next(iter(plain.parameters())).device
    mask = branch_mask(packs, longest, plain.dtype)
    if mask is None:
        out = plain.base_model(input_ids=ids.to(device), use_cache=False)
    else:
        mask = mask.to(device)
        with _MatmulAttention(mask, off=_recomputes(plain)):
            out = plain.base_model(
                input_ids=ids.to(device), use_cache=False, attention_mask=mask, position_ids=positions.to(device)
            )
    hidden = out.last_hidden_state  # (packs, length, width)
    # (targets, width): the vocabulary projection is a fifth of a small model's work, so prompts do without it.
    picked = hidden.reshape(-1, hidden.shape[-1]).index_select(0, torch.tensor(places, device=device))
    targets = torch.tensor(target_ids, device=device)
    losses = []
    for begin, logits in _logits(plain, picked, out):
        losses.append(functional.cross_entropy(logits, targets[begin : begin + CHUNK], reduction="none"))
    return torch.cat(losses) if losses else picked.new_zeros(0, dtype=torch.float32)


def _logits(plain: Any, picked: Tensor, out: Any) -> Iterator[tuple[int, Tensor]]:
    """(first place, float32 logits) a chunk: the causal model's forward around a body that returns what it is given."""
    body = plain.base_model
    forward = body.__dict__.get("forward")
    some = torch.zeros(1, 1, dtype=torch.long, device=picked.device)
    # The body's hooks have run with the real input: they must not run again on a stand-in.
    hooks = body._forward_hooks
    body._forward_hooks = type(body._forward_hooks)()
    before = body._forward_pre_hooks
    body._forward_pre_hooks = type(body._forward_pre_hooks)()
    try:
        for begin in range(0, len(picked), CHUNK):
            part = type(out)(last_hidden_state=picked[None, begin : begin + CHUNK])
            body.forward = lambda *_, part=part, **__: part
            yield begin, plain(input_ids=some, use_cache=False).logits[0].float()
    finally:
        body._forward_hooks, body._forward_pre_hooks = hooks, before
        # An instance attribute that was not there before would hide the class's method for ever.
        if forward is None:
            del body.forward
        else:
            body.forward = forward


def loss_of(network: Any, packs: Sequence[Pack]) -> Tensor:
    """Cross-entropy summed over the completion tokens of one micro-batch, in float32."""
    return token_losses(network, packs).sum()


def branch_mask(packs: Sequence[Pack], longest: int, dtype: torch.dtype) -> Tensor | None:
    """Additive mask of shape (packs, 1, longest, longest); None where plain causal attention is right.

    Right padding needs no mask: no real token sees a later one.
    """
    if all(max(packed.branch, default=-1) <= 0 for packed in packs):
        return None
    branch = torch.full((len(packs), longest), -2)  # (packs, length); -2: padding, a branch of no row
    for place, packed in enumerate(packs):
        branch[place, : len(packed.ids)] = torch.tensor(packed.branch)
    # (packs, queries, keys): a token sees the prefix (-1) and its own branch, and of both what stands before it.
    seen = (branch[:, None, :] == -1) | (branch[:, None, :] == branch[:, :, None])
    seen &= torch.ones(longest, longest, dtype=torch.bool).tril()
    mask = torch.zeros(len(packs), 1, longest, longest, dtype=dtype)
    return mask.masked_fill_(~seen[:, None], torch.finfo(dtype).min)


def _recomputes(plain: Any) -> bool:
    """Are activations computed again in the backward pass?"""
    return any(getattr(module, "gradient_checkpointing", False) for module in plain.modules())


class _MatmulAttention(TorchFunctionMode):  # type: ignore[misc]
    """Computes the masked attention of packs in bf16 on a CPU by two matrix products and a softmax.

    torch's own kernel for CPUs does not use the processor's bf16 instructions: beside it these products take a third of
    the time, which is a third of a training step, with gradients as near to those of f32 (`docs/notebook.md`).

    Args:
        mask: The mask that the network was given, (packs, 1, length, length); attention with another one is left alone.
        off: Change nothing. Layers that are computed again in the backward pass must do the same operations then, out
            of reach of this.
    """

    def __init__(self, mask: Tensor, *, off: bool) -> None:
        super().__init__()
        fits = mask.dtype == torch.bfloat16 and mask.device.type == "cpu" and mask.shape[-1] <= _KEPT_SCORES
        self._mask = mask
        self._off = off or not fits

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        mask = options.get("attn_mask")
        if func is not functional.scaled_dot_product_attention or self._off or mask is None or len(args) != 3:
            return func(*args, **options)
        query, key, value = args  # (packs, heads, length, width)
        # Only the mask that was given is known to be additive and of this shape; others are left to torch.
        same = mask.data_ptr() == self._mask.data_ptr() and mask.shape == self._mask.shape
        if not same or key.shape[-2] != mask.shape[-1] or options.get("dropout_p"):
            return func(*args, **options)
        heads = query.shape[1] // key.shape[1]  # of a group of queries that share keys and values
        key, value = key.repeat_interleave(heads, dim=1), value.repeat_interleave(heads, dim=1)
        scale = options.get("scale") or query.shape[-1] ** -0.5
        scores = torch.matmul(query, key.transpose(-1, -2)).mul_(scale).add_(mask)  # (packs, heads, length, length)
        return torch.matmul(torch.softmax(scores, dim=-1), value)


def why_apart(network: Any, longest: int) -> str:
    """Why rows of at most `longest` tokens cannot share a prefix exactly; empty when they can."""
    plain = plain_of(network)
    config = plain.config.get_text_config()
    # Branches begin anew at the prefix's end: without positions of their own they would be read one after another.
    if "position_ids" not in inspect.signature(plain.base_model.forward).parameters:
        return "the model takes no positions"
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if kinds or not config._attn_implementation.startswith(("sdpa", "eager")):
        return f"its layers are {', '.join(sorted(kinds)) or config._attn_implementation}"
    # Within one window full and windowed attention are the same.
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True) and longest + adapter_layers.virtual(plain) > window:
        return f"its attention window has {window} tokens, rows up to {longest}"
    return ""
