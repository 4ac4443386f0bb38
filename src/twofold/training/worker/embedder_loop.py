"""The embedder's training loop (heavy leaf; runs in the child process).

InfoNCE over cosines: each question's right passage against the other passages of the step and mined hard negatives;
passages of a question's other sources are masked out. Memory is bounded: when a step is too large to be held, vectors
are made first without a graph, and each part again with one, to pass on the gradient of its vectors (Gao et al. 2021,
"Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"). Dropout is off.
"""

from __future__ import annotations

import json
import math
import pickle
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twofold.errors import ModelError, NothingToLearn, TrainingError
from twofold.files import writing
from twofold.host.memory import peak_mib
from twofold.models import hub
from twofold.plugins import loading
from twofold.plugins.jobs import EmbedderJob, SearchPair
from twofold.plugins.protocols import Progress
from twofold.training.embedder import MODEL, EmbedderOptions
from twofold.training.schedule import EVALUATION_SHARE, evaluations_within
from twofold.training.worker import curves
from twofold.types import Answer, Chunk, Hit, Json, Span

_BATCH = 32
"""Texts embedded at a time when the dev split is scored."""
_CHECKPOINT_SECONDS = 60.0
"""Between checkpoints: a killed run loses no more."""
_POINTS = 60
"""Points of the loss curve."""


@dataclass
class _State:
    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    dev: list[tuple[int, float]] = field(default_factory=list)
    best: float = -1.0
    best_step: int = 0
    since_best: int = 0
    evaluation: float = 0.0
    """Seconds of the slowest evaluation."""


class _Clock:
    """The seconds that a run has spent, and those that its limit leaves.

    Args:
        minutes: Limit; 0 for none.
        earlier: Seconds of the runs that this one goes on from.
    """

    def __init__(self, minutes: float, *, earlier: float) -> None:
        self._limit, self._earlier, self._began = minutes * 60, earlier, time.perf_counter()

    def spent(self) -> float:
        """Seconds, those of earlier runs among them."""
        return self._earlier + time.perf_counter() - self._began

    def left(self) -> float:
        """Seconds until the limit; infinite without one."""
        return self._limit - self.spent() if self._limit else math.inf

    def evaluations(self, most: int, *, each: float) -> int:
        """How often the dev split is scored: once at least, and no oftener than its share of the limit allows."""
        if not self._limit:
            return most
        return evaluations_within(EVALUATION_SHARE * self._limit, each=each, most=most, items=1)[0]


class _Encoder:
    """Stock weights, tokenizer and pooling of a sentence encoder."""

    def __init__(self, source: Path, options: EmbedderOptions) -> None:
        import torch
        from tokenizers import Tokenizer
        from transformers import AutoModel

        self.source, self.options = source, options
        self.tokens = Tokenizer.from_file(str(source / "tokenizer.json"))
        # The file may ask for padding and cutting, which are done here; and "[SEP]" in a text is text.
        self.tokens.no_padding()
        self.tokens.no_truncation()
        self.tokens.encode_special_tokens = True
        try:
            self.network: Any = AutoModel.from_pretrained(
                str(source), dtype=torch.float32, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise ModelError(f"transformers cannot load this model: {error}", file=source) from error
        self.network.eval()
        if options.freeze_words:
            self.network.get_input_embeddings().weight.requires_grad_(False)
        path = source / "1_Pooling" / "config.json"
        pooling = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        self.first_token = bool(pooling.get("pooling_mode_cls_token"))
        config = self.network.config
        width = 2 if options.dtype == "bf16" else 4
        per_token = config.num_hidden_layers * (34 * config.hidden_size + 3 * config.num_attention_heads * 128) * width
        self.budget = int(max(1024, (options.memory_gib - 1.0) * 2**30 / per_token))

    def ids(self, text: str, limit: int, *, keep_end: bool = False) -> list[int]:
        whole: list[int] = self.tokens.encode(text).ids
        if len(whole) <= limit:
            return whole
        # A question keeps its end, which asks; a passage keeps its beginning.
        return [whole[0], *whole[-(limit - 1) :]] if keep_end else [*whole[: limit - 1], whole[-1]]

    def vectors(self, rows: Sequence[Sequence[int]]) -> Any:
        """Unit vectors with their graph, shape (rows, hidden), float32."""
        import torch

        longest = max(len(row) for row in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)  # (rows, longest)
        mask = torch.zeros(len(rows), longest)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.options.dtype == "bf16"):
            # (rows, longest, hidden)
            states = self.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        states = states.float()
        pooled = states[:, 0] if self.first_token else (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(pooled, dim=-1)

    def embedded(self, texts: Sequence[str], limit: int) -> Any:
        """Unit vectors without a graph, in batches by length."""
        import torch

        rows = [self.ids(text, limit) for text in texts]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        out = torch.zeros(len(rows), self.network.config.hidden_size)
        with torch.no_grad():
            for begin in range(0, len(order), _BATCH):
                members = order[begin : begin + _BATCH]
                out[members] = self.vectors([rows[i] for i in members])
        return out

    def parts(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        """Row numbers in parts of like length, each within the token budget."""
        parts: list[list[int]] = []
        for number in sorted(range(len(rows)), key=lambda i: len(rows[i])):
            if not parts or (len(parts[-1]) + 1) * len(rows[number]) > self.budget:
                parts.append([])
            parts[-1].append(number)
        return parts


def fit(job: EmbedderJob, options: EmbedderOptions, directory: Path, *, progress: Progress) -> Json:
    """Tune the job's embedder and leave it in ``directory/model`` with ``training.json``; resumes from a checkpoint.

    Raises:
        NothingToLearn: there are no pairs.
        TrainingError: the loss is not a number.
    """
    import torch

    if len(job.pairs) < 2:
        raise NothingToLearn("there are not two question-passage pairs to learn from")
    if options.threads:
        torch.set_num_threads(options.threads)
    source = hub.locate(job.model)
    encoder = _Encoder(source, options)
    stock = _weights(encoder.network)
    trained = [p for p in encoder.network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=options.learning_rate, weight_decay=options.weight_decay)
    state = _restored(directory, encoder.network, optimiser)
    each = math.ceil(len(job.pairs) / options.batch)
    total = max(1, round(each * options.epochs))
    clock = _Clock(options.minutes, earlier=state.seconds)
    saved = time.perf_counter()
    if not state.dev:
        state.best = _timed_score(encoder, job, state=state, progress=progress)
        state.dev.append((0, state.best))
    count = clock.evaluations(options.evaluations, each=state.evaluation)
    marks = {round(total * (i + 1) / count) for i in range(count)} | {total}
    stopped, longest = "epochs", 0.0
    while state.step < total:
        if state.since_best >= options.patience:
            stopped = "patience"
            break
        # A last evaluation is within the limit, as is the step before it.
        if clock.left() < longest + state.evaluation:
            stopped = "minutes"
            break
        tick = time.perf_counter()
        members = _members(job, options, epoch=state.step // each, place=state.step % each)
        for group in optimiser.param_groups:
            group["lr"] = options.learning_rate * _pace(state.step, total, options.warmup)
        chance = random.Random(f"{job.seed}/negatives/{state.step}")
        loss = _take_step(encoder, optimiser, trained, [job.pairs[m] for m in members], chance=chance)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is not a number at step {state.step + 1}",
                cure="Lower [tuning.embedder.options].learning_rate.",
            )
        state.step += 1
        state.losses.append(loss)
        progress("train", state.step, total)
        longest = max(longest, time.perf_counter() - tick)
        if state.step in marks:
            _evaluate(encoder, job, directory, state=state, progress=progress)
        state.seconds = clock.spent()
        if state.step in marks or time.perf_counter() - saved > _CHECKPOINT_SECONDS:
            _checkpoint(encoder, directory, state=state, optimiser=optimiser)
            saved = time.perf_counter()
    if state.step > state.dev[-1][0]:
        _evaluate(encoder, job, directory, state=state, progress=progress)
    blend, tuned = _choose(encoder, job, directory, stock=stock, state=state, clock=clock, progress=progress)
    state.seconds = clock.spent()
    return _finish(encoder, job, directory, state=state, each=each, stopped=stopped, blend=blend, tuned=tuned)


def _evaluate(encoder: _Encoder, job: EmbedderJob, directory: Path, *, state: _State, progress: Progress) -> None:
    """Score the dev split and keep the weights when they are the best so far."""
    reached = _timed_score(encoder, job, state=state, progress=progress)
    state.dev.append((state.step, reached))
    if reached > state.best:
        state.best = reached
        state.best_step = state.step
        state.since_best = 0
        _save(directory / "best.pt", _weights(encoder.network))
    else:
        state.since_best += 1


def _timed_score(encoder: _Encoder, job: EmbedderJob, *, state: _State, progress: Progress) -> float:
    tick = time.perf_counter()
    score = _dev_score(encoder, job, progress)
    state.evaluation = max(state.evaluation, time.perf_counter() - tick)
    return score


def _members(job: EmbedderJob, options: EmbedderOptions, *, epoch: int, place: int) -> list[int]:
    order = list(range(len(job.pairs)))
    random.Random(f"{job.seed}/order/{epoch}").shuffle(order)
    chosen = order[place * options.batch : (place + 1) * options.batch]
    # A single question would have no other passage to be told apart from.
    return chosen if len(chosen) > 1 else order[: options.batch]


def _pace(step: int, total: int, warmup: float) -> float:
    rise = max(1, round(total * warmup))
    if step < rise:
        return (step + 1) / rise
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def _take_step(
    encoder: _Encoder, optimiser: Any, trained: Sequence[Any], pairs: Sequence[SearchPair], *, chance: random.Random
) -> float:
    """One optimiser step; returns the mean loss of a question."""
    import torch

    options = encoder.options
    texts = [(pair.document, pair.passage) for pair in pairs]
    for pair in pairs:
        texts += chance.sample(pair.negatives, min(options.negatives, len(pair.negatives)))
    queries = [encoder.ids(pair.query, options.query_tokens, keep_end=True) for pair in pairs]
    passages = [encoder.ids(text, options.max_tokens) for _, text in texts]

    def unusable(number: int, pair: SearchPair) -> list[bool]:
        """Mark passages that cannot be a negative of the pair: of its sources, or the same text at another place."""
        unfit: list[bool] = []
        for place, (document, text) in enumerate(texts):
            unfit.append(place != number and (document in pair.sources or text == pair.passage))
        return unfit

    banned = torch.tensor([unusable(number, pair) for number, pair in enumerate(pairs)])  # (queries, passages)
    rows = [*queries, *passages]
    parts = encoder.parts(rows)
    optimiser.zero_grad(set_to_none=True)
    padded = 0
    for part in parts:
        padded += len(part) * max(len(rows[i]) for i in part)
    # Too large to be held: vectors without a graph first, then each part again with one (Gao et al. 2021).
    if padded <= encoder.budget:
        whole = torch.zeros(len(rows), encoder.network.config.hidden_size)
        # Apart, as questions are short: together they would be padded to the passages.
        for kind in (range(len(queries)), range(len(queries), len(rows))):
            whole = whole.index_copy(0, torch.tensor(list(kind)), encoder.vectors([rows[i] for i in kind]))
        loss = contrast(whole, len(queries), banned=banned, options=options)
        loss.backward()
    else:
        with torch.no_grad():
            whole = torch.zeros(len(rows), encoder.network.config.hidden_size)
            for part in parts:
                whole[part] = encoder.vectors([rows[i] for i in part])
        whole.requires_grad_(True)
        loss = contrast(whole, len(queries), banned=banned, options=options)
        loss.backward()
        for part in parts:
            # The vectors' gradient goes on through each part: summed, that is the gradient of the whole step.
            (encoder.vectors([rows[i] for i in part]) * whole.grad[part]).sum().backward()
    torch.nn.utils.clip_grad_norm_(list(trained), options.clip)
    if math.isfinite(float(loss.detach())):
        optimiser.step()
    return float(loss.detach())


def contrast(vectors: Any, queries: int, *, banned: Any, options: EmbedderOptions) -> Any:
    """InfoNCE of unit vectors; the first `queries` rows are questions, the next as many their passages in order.

    Args:
        vectors: Shape (questions + passages, hidden).
        queries: Number of questions.
        banned: Boolean, shape (questions, passages): right passages of a question beside its own.
        options: Scale and nested dimensions; the losses of all dimensions are averaged.
    """
    import torch
    from torch.nn import functional

    losses = []
    for size in (vectors.shape[1], *(d for d in options.matryoshka if d < vectors.shape[1])):
        cut = functional.normalize(vectors[:, :size], dim=-1)
        scores = (cut[:queries] @ cut[queries:].t() * options.scale).masked_fill(banned, -math.inf)
        losses.append(functional.cross_entropy(scores, torch.arange(queries)))
    return torch.stack(losses).mean()


def _dev_score(encoder: _Encoder, job: EmbedderJob, progress: Progress) -> float:
    """Mean nDCG@10 of the dev questions, searched in the pool by cosine."""
    if not job.dev:
        return 0.0
    metric = loading.make("metrics", "ndcg", {})
    texts = encoder.embedded([text for _, text in job.pool], encoder.options.max_tokens)
    questions = encoder.embedded([query for query, _ in job.dev], encoder.options.max_tokens)
    order = (questions @ texts.t()).argsort(dim=1, descending=True)[:, :60].tolist()
    scores = []
    for ranked, (_, example) in zip(order, job.dev, strict=True):
        hits: list[Hit] = []
        for rank, place in enumerate(ranked, 1):
            span = Span(document=job.pool[place][0], start=0, end=0)
            hits.append(Hit(chunk=Chunk(id=str(place), span=span, text=""), score=0, rank=rank))
        score = metric.score(example, Answer(text="", hits=tuple(hits)))
        scores += [] if score is None else [float(score)]
        progress("score dev", len(scores), len(job.dev))
    return sum(scores) / len(scores) if scores else 0.0


def _choose(
    encoder: _Encoder,
    job: EmbedderJob,
    directory: Path,
    *,
    stock: Json,
    state: _State,
    clock: _Clock,
    progress: Progress,
) -> tuple[float, float]:
    """Load the mixture of stock and best tuned weights that is best on dev; returns its share and score.

    Shares that the limit leaves no time to score are not tried; the tuned weights themselves are scored already.
    """
    import torch

    if not state.best_step:
        encoder.network.load_state_dict(stock, strict=False)  # integer buffers are not among the weights
        return 0.0, state.dev[0][1]
    best = torch.load(directory / "best.pt", weights_only=True)
    chosen = (-1.0, 0.0)
    for share in encoder.options.blends:
        if share != 1 and clock.left() < state.evaluation:
            continue
        mixed = {name: torch.lerp(stock[name], value, share) for name, value in best.items()}
        encoder.network.load_state_dict(mixed, strict=False)
        reached = state.best if share == 1 else _dev_score(encoder, job, progress)
        chosen = max(chosen, (reached, share))
    if chosen[0] < 0:
        chosen = (state.best, 1.0)
    mixed = {name: torch.lerp(stock[name], value, chosen[1]) for name, value in best.items()}
    encoder.network.load_state_dict(mixed, strict=False)
    return chosen[1], chosen[0]


def _finish(
    encoder: _Encoder,
    job: EmbedderJob,
    directory: Path,
    *,
    state: _State,
    each: int,
    stopped: str,
    blend: float,
    tuned: float,
) -> Json:
    target = directory / MODEL
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    # Before the weights are saved, which writes a configuration of its own over the copied one.
    for path in encoder.source.rglob("*"):
        name = path.relative_to(encoder.source)
        if path.is_file() and path.suffix in {".json", ".txt"} and name.name != hub.MANIFEST:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)
    encoder.network.save_pretrained(target)
    report = {
        "pairs": len(job.pairs),
        "dev_questions": len(job.dev),
        "pool": len(job.pool),
        "steps": state.step,
        "epochs": state.step / each,
        "best_step": state.best_step,
        "blend": blend,
        "stock": state.dev[0][1],
        "tuned": tuned,
        "dev": state.dev,
        "loss": curves.averaged(state.losses, _POINTS),
        "seconds": state.seconds,
        "peak_mib": peak_mib(),
        "stopped": stopped,
    }
    writing.write(directory / "training.json", json.dumps(report, indent=1))
    return report


def _weights(network: Any) -> Json:
    return {name: value.detach().clone() for name, value in network.state_dict().items() if value.is_floating_point()}


def _save(path: Path, value: Any) -> None:
    import torch

    with writing.replacing(path) as draft:
        torch.save(value, draft)


def _checkpoint(encoder: _Encoder, directory: Path, *, state: _State, optimiser: Any) -> None:
    progress = {"state": vars(state), "weights": _weights(encoder.network), "optimiser": optimiser.state_dict()}
    _save(directory / "checkpoint.pt", progress)


def _restored(directory: Path, network: Any, optimiser: Any) -> _State:
    import torch

    path = directory / "checkpoint.pt"
    state = _State()
    if not path.is_file():
        return state
    try:
        checkpoint = torch.load(path, weights_only=True)
        network.load_state_dict(checkpoint["weights"], strict=False)
        optimiser.load_state_dict(checkpoint["optimiser"])
        vars(state).update(checkpoint["state"])
    except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"the checkpoint cannot be read: {error}",
            file=path,
            cure="Delete the checkpoint and run the command again: training starts over.",
        ) from error
    return state
