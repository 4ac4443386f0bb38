"""Training on another device than the CPU, without one: torch's `meta`, and CUDA's rule that devices do not mix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import TrainingError
from twofold.models import adapter_layers
from twofold.training.encoding import Encoder
from twofold.training.options import KINDS
from twofold.training.packing import TrainingRow, pack

torch = pytest.importorskip("torch")
TorchDispatchMode = pytest.importorskip("torch.utils._python_dispatch").TorchDispatchMode
tree_leaves = pytest.importorskip("torch.utils._pytree").tree_leaves


class Apart(TorchDispatchMode):  # type: ignore[misc]
    """Refuses an operation on tensors of two devices, as CUDA does; copying is what moves them."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor) and t.dim()]
        if len({t.device for t in tensors}) > 1 and str(func) not in ("aten._to_copy.default", "aten.copy_.default"):
            raise RuntimeError(f"{func}: tensors on {sorted({str(t.device) for t in tensors})}")
        return func(*args, **(kwargs or {}))


def test_mixed_devices_are_found() -> None:
    with Apart(), pytest.raises(RuntimeError, match=r"mm.default: tensors on \['cpu', 'meta'\]"):
        torch.ones(3, 3, device="meta") @ torch.ones(3, 3)


@pytest.mark.parametrize("method", KINDS)
def test_a_step_stays_on_the_device(method: str, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from twofold.training.worker import methods
    from twofold.training.worker.network import Masters, loss_of, plain_of

    monkeypatch.setattr(methods, "device", lambda: "meta")
    options = KINDS[method].model_validate({"dtype": "bf16"})
    network = methods.adapted(tiny, options, Encoder(tiny), seed=0)
    assert {p.device.type for p in (*network.parameters(), *network.buffers())} == {"meta"}
    front = adapter_layers.virtual(plain_of(network))

    def row(last: int) -> TrainingRow:
        return TrainingRow(ids=(*(0,) * front, *range(5, 40), last, 41, 42), start=front + 30)

    masters = Masters(network, options)
    with Apart():
        # rows that share a beginning, which takes a mask and positions, beside one that does not
        loss = loss_of(network, [pack([row(50), row(60)]), pack([row(70)])])
        loss.backward()
        masters.collect()
        masters.update(0.5)
    assert loss.device.type == "meta"
    assert {p.device.type for p in masters.full.values()} == {"meta"}


def test_more_processes_than_gpus_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from twofold.training.worker.distributed import Crew

    for name, value in {"WORLD_SIZE": "4", "RANK": "0", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(TrainingError, match="4 training processes on a machine with 2 GPUs"):
        Crew()


def test_chance_goes_on_where_it_was() -> None:
    from twofold.training.worker import devices

    before = devices.chance()
    first = torch.rand(3)
    devices.restore_chance(before)
    assert torch.equal(torch.rand(3), first)
    # of a machine with a GPU: what this one has of it goes on
    devices.restore_chance([before, torch.zeros(16, dtype=torch.uint8)])
    assert torch.equal(torch.rand(3), first)


def test_4_bit_weights_are_those_of_bitsandbytes() -> None:
    pytest.importorskip("bitsandbytes")

    class Block(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(192, 320, bias=False).bfloat16()

        def get_output_embeddings(self) -> None:
            return None

    block = Block()
    adapter_layers.round_to_nf4(block)
    rounded = block.layer.parametrizations.weight
    by_kernel = adapter_layers.nf4_by_kernel(
        rounded.original0, rounded.original1, rounded[0].values, dtype=torch.bfloat16
    )
    assert torch.equal(by_kernel.reshape(320, 192), block.layer.weight)


def test_the_backward_pass_of_4_bit_layers_keeps_4_bits_and_has_the_same_gradient() -> None:
    """Weights in full, as autograd keeps them of an ordinary product, would be those of all layers at once."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4, "vocab_size": 64}
    torch.manual_seed(0)
    network = LlamaForCausalLM(LlamaConfig(num_hidden_layers=2, attention_bias=True, **sizes)).bfloat16()
    adapter_layers.round_to_nf4(network)
    layers = [layer for _, layer in adapter_layers.nf4_candidates(network)]
    assert len(layers) == 14
    entering = torch.randn(1, 4, 128, generator=torch.Generator().manual_seed(1)).bfloat16()

    def passed() -> tuple[float, torch.Tensor, set[int]]:
        sizes_kept: set[int] = set()

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            sizes_kept.add(tensor.numel() if tensor.is_floating_point() else 0)
            return tensor

        at = entering.clone().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = network(inputs_embeds=at).logits.float().square().sum()
        loss.backward()
        assert at.grad is not None
        return loss.item(), at.grad, sizes_kept

    loss, gradient, kept_sizes = passed()
    in_full = {layer.weight.numel() for layer in layers}
    assert not kept_sizes & in_full
    for layer in layers:
        type(layer).forward = torch.nn.Linear.forward  # type: ignore[method-assign]
    loss_before, gradient_before, kept_before = passed()
    assert kept_before & in_full == in_full
    assert (loss, torch.equal(gradient, gradient_before)) == (loss_before, True)
