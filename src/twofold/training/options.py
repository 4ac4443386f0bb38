"""Options of the training loop, and of each method. Light: the parent reads it."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from twofold.host.capabilities import Arithmetic
from twofold.plugins.protocols import Options

MEMORY = "Lower [tuning.trainer.options].memory_gib or max_length, then rerun: it resumes."


class FitOptions(Options):
    """Options of every method; the defaults are those that won on the demo's dev split (see docs/notebook.md)."""

    method: ClassVar[str]

    model: str = ""
    """Base model; empty: the generator's own."""
    chat_template: str = ""
    """Jinja chat template, for a base model without one; the model is then served with it."""
    objective: Literal["supervised", "labels", "preference"] = "supervised"
    """``labels``: the right choice must be likelier than the others, each read as a whole; ``preference``: DPO
    (Rafailov et al. 2023, arXiv:2305.18290) on rows with a rejected completion."""
    beta: float = Field(default=0.1, gt=0)
    """DPO: how strongly the model is held to where it began."""
    replay: float = Field(default=0.0, ge=0, le=1)
    """General prompts with what the untuned generator answers, mixed in so that less is forgotten: characters to learn,
    as a share of those of the job's own rows."""
    learning_rate: float = Field(default=1e-3, gt=0)
    probe: bool = False
    """Try a third of the learning rate, it, and thrice it on a few steps; go on with what has the lowest dev loss."""
    epochs: float = Field(default=3.0, gt=0)
    batch: int = Field(default=8, ge=1)
    """Rows per optimiser step: on the demo many small steps reach in half the time what steps of 24 rows do."""
    warmup: float = Field(default=0.06, ge=0, lt=1)
    """Share of steps until the full learning rate; a cosine to 2 % after."""
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    """Largest gradient norm."""
    max_length: int = Field(default=2048, ge=16)
    """Longer rows lose the beginning of their last message, then their oldest turns; tokens."""
    memory_gib: float = Field(default=8.0, gt=1)
    """Peak memory of the child; bounds the micro-batch."""
    checkpointing: Literal["auto", "on", "off"] = "auto"
    """Compute activations again in the backward pass instead of keeping them: slower, far smaller. ``auto``: where the
    longest row would not fit into `memory_gib` otherwise."""
    evaluations: int = Field(default=4, ge=1)
    """How often the dev split is scored at most: all together cost at most a quarter of training, and at most 15 % of a
    limit."""
    dev_items: int = Field(default=40, ge=1)
    """Dev items scored each time at most."""
    patience: int = Field(default=2, ge=1)
    """Evaluations without a better dev score before stopping."""
    minutes: float = Field(default=0.0, ge=0)
    """A cap on training, evaluations included: it stops there cleanly with the best so far; 0 for no limit. The clock
    is looked at between micro-batches, by all processes together."""
    euros: float = Field(default=0.0, ge=0)
    """The same, after so much money at `euros_an_hour`; 0 for no limit."""
    euros_an_hour: float = Field(default=0.0, ge=0)
    """Price of the machine."""
    dtype: Arithmetic = "auto"
    """Arithmetic: ``auto`` (what this machine computes fastest), ``bf16`` or ``f32``."""
    checkpoint_seconds: float = Field(default=60.0, ge=0)
    share_prefixes: bool = True
    """Read passages that several rows share once; exact, and switched off by itself where the model cannot."""
    processes: int = Field(default=1, ge=1, le=64)
    """Training processes (torchrun), each with its share of every step and, on a GPU machine, a GPU of its own."""
    shard: bool = False
    """Spread the layers' weights over the processes (FSDP), for a model too large for one of them; not with QLoRA."""
    compile: bool = False
    """torch.compile the layers: a minute of compiling, then faster, mostly on GPUs."""
    threads: int = Field(default=0, ge=0)
    """0: all cores, shared among the processes."""

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.euros and not self.euros_an_hour:
            raise ValueError("euros needs euros_an_hour, what the machine costs")
        # The 4-bit values of QLoRA are no parameters, so FSDP cannot spread them (decision 8).
        if self.shard and (self.processes == 1 or self.method == "qlora"):
            raise ValueError("shard needs processes of 2 or more, and a method other than qlora")
        return self

    @property
    def limit(self) -> float:
        """Minutes that `minutes` and `euros` allow; 0 for no limit."""
        bought = 60 * self.euros / self.euros_an_hour if self.euros else 0.0
        return min((one for one in (self.minutes, bought) if one), default=0.0)

    @property
    def limited_by(self) -> Literal["minutes", "euros"]:
        """The limit that applies: of time, or of money."""
        return "minutes" if self.limit == self.minutes else "euros"


class LoraOptions(FitOptions):
    """LoRA (Hu et al. 2021, arXiv:2106.09685) on all linear layers (where QLoRA, arXiv:2305.14314, finds it needed)."""

    method: ClassVar[str] = "lora"

    learning_rate: float = Field(default=2e-3, gt=0)
    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] = ()
    """Linear layers that get an adapter, by name; empty for all but the output layer."""
    layers: int = Field(default=0, ge=0)
    """Adapt only this many of the uppermost layers; 0 for all."""
    rslora: bool = False
    """Scale by alpha / √rank (Kalajdzievski 2023, arXiv:2312.03732), for ranks of 64 and more."""
    dora: bool = False
    """Learn each output's length apart from its direction (Liu et al. 2024, arXiv:2402.09353); slower."""


class QloraOptions(LoraOptions):
    """LoRA over a base rounded to 4-bit NormalFloat (Dettmers et al. 2023, arXiv:2305.14314).

    The defaults are LoRA's, as they find it to reach 16-bit LoRA.
    """

    method: ClassVar[str] = "qlora"


class FullOptions(FitOptions):
    """All weights, at a tenth of LoRA's learning rate (Biderman et al. 2024, arXiv:2405.09673, section 4)."""

    method: ClassVar[str] = "full"

    learning_rate: float = Field(default=1e-4, gt=0)


class AdapterOptions(FitOptions):
    """Bottleneck layers, learning rate within the sweep of Houlsby et al. 2019 (arXiv:1902.00751, section 3)."""

    method: ClassVar[str] = "adapter"

    width: int = Field(default=64, ge=1)
    """Of the bottleneck; Houlsby et al. find 8 to 64 alike."""
    placement: Literal["pfeiffer", "houlsby"] = "pfeiffer"
    """``pfeiffer``: after the feed-forward part (as good as both, Pfeiffer et al. 2021, arXiv:2005.00247)."""


class PromptOptions(FitOptions):
    """A soft prompt begun from text (Lester et al. 2021, arXiv:2104.08691): beyond 20 tokens little is gained there.

    The learning rate is that of PEFT's guide for AdamW; theirs (0.3) is Adafactor's.
    """

    method: ClassVar[str] = "prompt"

    tokens: int = Field(default=20, ge=1, le=1024)
    text: str = "Answer the user's question about this domain exactly in the form and tone of the examples."
    """Its tokens, repeated or cut to `tokens`, are where it begins."""
    learning_rate: float = Field(default=3e-2, gt=0)
    epochs: float = Field(default=8.0, gt=0)


class PrefixOptions(PromptOptions):
    """Learned keys and values in every layer (Li & Liang 2021, arXiv:2101.00190).

    Begun with those of real words (their section 7.4), which replaces their reparametrisation.
    """

    method: ClassVar[str] = "prefix"

    learning_rate: float = Field(default=1e-2, gt=0)


class Ia3Options(FitOptions):
    """Learned scales of keys, values and feed-forward activations (Liu et al. 2022, arXiv:2205.05638, their rate)."""

    method: ClassVar[str] = "ia3"

    learning_rate: float = Field(default=3e-3, gt=0)
    epochs: float = Field(default=8.0, gt=0)
    targets: tuple[str, ...] = ()
    """Layers whose output is scaled; empty for the keys and values."""
    feedforward: tuple[str, ...] = ()
    """Layers whose input is scaled; empty for the last of the feed-forward part."""


KINDS: dict[str, type[FitOptions]] = {
    kind.method: kind
    for kind in (LoraOptions, QloraOptions, FullOptions, AdapterOptions, PromptOptions, PrefixOptions, Ia3Options)
}
"""Options by method."""
