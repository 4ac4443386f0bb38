"""Live requests in the batch of the OpenVINO runtime have the bytes of `generate`, whatever goes on beside them."""

from __future__ import annotations

import json
import os
import queue
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import GenerationError
from twofold.generation.live.process import Process
from twofold.generation.local import LocalGenerator
from twofold.plugins import loading
from twofold.plugins.live import DetailedCompletion, LiveBatch
from twofold.types import Completion, Message, Prompt

WORDS = ["barley", "rust", "plough", "the frost of May", "a mill"]


def ask(words: str, *, max_tokens: int = 12, **fields: Any) -> Prompt:
    return Prompt(messages=(Message(role="user", content=f"Say more of {words}."),), max_tokens=max_tokens, **fields)


@pytest.fixture(scope="module")
def generator(tiny: Path) -> Iterator[LocalGenerator]:
    made: LocalGenerator = loading.make(
        "generators", "local", {"model": f"path:{tiny}", "runtime": "openvino", "dtype": "f32", "threads": 2}
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def batch(generator: LocalGenerator) -> Iterator[LiveBatch]:
    batch = generator.live()
    yield batch
    batch.close()


class Answer:
    """What one request got."""

    def __init__(self, batch: LiveBatch, prompt: Prompt, **sampling: Any) -> None:
        self.items: queue.Queue[str | Completion | Exception] = queue.Queue()
        self.cancel: Callable[[], None] = batch.submit(prompt, self.items.put, **sampling)

    def pieces(self) -> Iterator[str | Completion]:
        while True:
            item = self.items.get(timeout=60)
            if isinstance(item, Exception):
                raise item
            yield item
            if isinstance(item, Completion):
                return

    def whole(self) -> Completion:
        *pieces, last = self.pieces()
        assert isinstance(last, Completion)
        assert "".join(map(str, pieces)) == last.text
        return last


def test_a_stop_string_that_ends_with_a_blank_ends_an_answer_before_it(
    generator: LocalGenerator, batch: LiveBatch
) -> None:
    whole = Answer(batch, ask("barley", max_tokens=40)).whole().text
    marks = [match[0] for match in re.finditer(r"\S\S ", whole)][:3]
    assert marks, whole
    for mark in marks:
        asked = ask("barley", max_tokens=40, stop=(mark,))
        for done in (Answer(batch, asked).whole(), *generator.generate([asked])):
            assert (done.text, done.finish) == (whole[: whole.index(mark)], "stop")


def test_any_interleaving_gives_the_bytes_of_generate(generator: LocalGenerator, batch: LiveBatch) -> None:
    """Prefix cache on; requests join at any step of others, some leave before their end."""
    prompts = [ask(f"{one} and {two}", max_tokens=n + 3) for n, one in enumerate(WORDS) for two in WORDS[:2]]
    prompts += [ask(one, stop=(" a", "e")) for one in WORDS]
    expected = {prompt: generator.generate([prompt])[0] for prompt in prompts}
    for seed in range(6):
        chance = random.Random(seed)
        under_way: list[tuple[Prompt, Answer]] = []
        for prompt in chance.sample(prompts, 12):
            answer = Answer(batch, prompt)
            if chance.random() < 0.3:  # leaves, before or after its first words
                if chance.random() < 0.5:
                    next(answer.pieces())
                answer.cancel()
            else:
                under_way.append((prompt, answer))
            if under_way and chance.random() < 0.3:  # the next joins after this one has ended
                one, early = under_way.pop(chance.randrange(len(under_way)))
                _same(early.whole(), expected[one])
        for one, answer in under_way:
            _same(answer.whole(), expected[one])


def _same(done: Completion, expected: Completion) -> None:
    assert (done.text, done.finish, done.failure) == (expected.text, expected.finish, expected.failure)
    # a stop string ends a stream at the same token
    assert done.usage == expected.usage


def test_a_bad_request_fails_alone(generator: LocalGenerator, batch: LiveBatch) -> None:
    good, schema, long = (Answer(batch, one) for one in (ask("oats"), ask("x", schema="{"), ask("x " * 600)))
    assert good.whole().text == generator.generate([ask("oats")])[0].text
    for answer, code in ((schema, "generation.schema"), (long, "generation.too-long")):
        failure = answer.whole().failure
        assert failure is not None
        assert failure.code == code


def test_a_request_has_its_own_sampling(generator: LocalGenerator, batch: LiveBatch) -> None:
    greedy = generator.generate([ask("rye")])[0].text
    hot = [Answer(batch, ask("rye"), temperature=5.0, seed=seed).whole().text for seed in (1, 1, 2)]
    assert hot[0] == hot[1]
    assert len({greedy, *hot}) == 3
    assert Answer(batch, ask("rye")).whole().text == greedy


def test_a_schema_is_kept_beside_free_text(generator: LocalGenerator, batch: LiveBatch) -> None:
    schema = json.dumps({"type": "boolean"})  # this model would fill an object with white space
    free, held_to = Answer(batch, ask("hay")), Answer(batch, ask("hay", schema=schema, max_tokens=60))
    assert free.whole().text == generator.generate([ask("hay")])[0].text
    assert isinstance(json.loads(held_to.whole().text), bool)
    assert isinstance(batch, Process)
    assert batch._trials._child is None, "a plain schema needs no trial"


UNUSABLE = {
    "looks ahead": {"type": "string", "pattern": "(?=.*a)(?=.*b).*"},
    "refers back": {"type": "string", "pattern": "(a)\\1"},
    "never true": {"type": "object", "properties": {"a": False}, "required": ["a"]},
    "nothing allowed": {"enum": []},
    "a quote in a name": {"type": "object", "properties": {'"q': {"type": "string"}}, "required": ['"q']},
}


def test_a_schema_that_cannot_be_compiled_fails_alone(generator: LocalGenerator, batch: LiveBatch) -> None:
    """OpenVINO would end the step, and with it everybody's request."""
    assert isinstance(batch, Process)
    long = Answer(batch, ask("clover", max_tokens=400))
    next(long.pieces())
    child = batch._child
    for schema in UNUSABLE.values():
        failure = Answer(batch, ask("x", schema=json.dumps(schema))).whole().failure
        assert failure is not None
        assert failure.code == "generation.schema"
        assert "jenkins" not in failure.message
    *_, last = long.pieces()
    assert isinstance(last, Completion)
    assert last.failure is None
    assert batch._child is child
    [failed] = generator.generate([ask("x", schema=json.dumps(UNUSABLE["looks ahead"]))])
    assert failed.failure is not None
    assert failed.failure.code == "generation.schema"


def test_a_schema_that_takes_too_long_is_refused_and_holds_up_nobody(batch: LiveBatch) -> None:
    assert isinstance(batch, Process)
    wide = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(1500)}}
    slow = Answer(batch, ask("x", schema=json.dumps(wide)))
    left = Answer(batch, ask("x", schema=json.dumps({**wide, "title": "of another who leaves"})))
    left.cancel()
    begun = time.monotonic()
    assert Answer(batch, ask("rye")).whole().failure is None
    assert time.monotonic() - begun < 3, "minutes, if it were compiled in the batch"
    failure = slow.whole().failure
    assert failure is not None
    assert (failure.code, "takes more than" in failure.message) == ("generation.schema", True)
    # The next schema is tried all the same.
    assert isinstance(json.loads(Answer(batch, ask("hay", schema='{"type": "boolean"}')).whole().text), bool)
    assert left.items.empty()
    assert not batch._running


def test_a_process_that_reads_nothing_holds_up_nobody(generator: LocalGenerator) -> None:
    """As within a long step: what is sent waits in this process, and leaving does not wait for it."""
    batch = generator.live()
    assert isinstance(batch, Process)
    assert batch._child is not None
    os.kill(batch._child.pid, signal.SIGSTOP)
    begun = time.monotonic()
    answers = [Answer(batch, ask("oats " * 450)) for _ in range(60)]  # more than a pipe has room for
    for answer in answers[1:]:
        answer.cancel()
    assert time.monotonic() - begun < 5
    os.kill(batch._child.pid, signal.SIGCONT)
    assert answers[0].whole().failure is None
    batch.close()


def test_a_cancelled_request_gets_nothing_more_and_frees_its_place(batch: LiveBatch) -> None:
    assert isinstance(batch, Process)
    answer = Answer(batch, ask("straw", max_tokens=300))
    next(answer.pieces())
    answer.cancel()
    seen = answer.items.qsize()
    Answer(batch, ask("chaff")).whole()
    assert answer.items.qsize() <= seen + 1
    assert not batch._running


def test_a_dead_process_fails_what_ran_and_the_next_request_starts_another(
    generator: LocalGenerator, batch: LiveBatch
) -> None:
    assert isinstance(batch, Process)
    lost = Answer(batch, ask("clover", max_tokens=400))
    next(lost.pieces())
    assert batch._child is not None
    os.kill(batch._child.pid, signal.SIGKILL)
    with pytest.raises(GenerationError, match="signal 9"):
        lost.whole()
    assert Answer(batch, ask("rye")).whole().text == generator.generate([ask("rye")])[0].text


def test_nobody_waits_for_the_start_of_another_process_but_who_needs_it(batch: LiveBatch) -> None:
    assert isinstance(batch, Process)
    left = Answer(batch, ask("clover", max_tokens=400))
    next(left.pieces())
    assert batch._child is not None
    os.kill(batch._child.pid, signal.SIGKILL)
    batch._child.process.wait(30)
    while batch._child is not None:
        time.sleep(0.01)
    waiting: queue.Queue[Answer] = queue.Queue()
    starter = threading.Thread(target=lambda: waiting.put(Answer(batch, ask("rye"))))
    starter.start()
    while not batch._starting.locked():
        time.sleep(0.001)
    left.cancel()  # on a server's event loop
    assert batch._starting.locked(), "it waited for the start"
    starter.join()
    assert waiting.get(timeout=20).whole().failure is None


def test_closing_ends_what_runs_and_refuses_more(generator: LocalGenerator) -> None:
    batch = generator.live()
    assert isinstance(batch, Process)
    child = batch._child
    assert child is not None
    answer = Answer(batch, ask("maize", max_tokens=400))
    next(answer.pieces())
    batch.close()
    with pytest.raises(GenerationError, match="closed"):
        answer.whole()
    with pytest.raises(GenerationError, match="closed"):
        batch.submit(ask("more"), print)
    assert child.process.poll() is not None


def test_it_tells_how_likely_its_tokens_were(generator: LocalGenerator, batch: LiveBatch, tiny: Path) -> None:
    """The probabilities are the model's own, and asking for them changes nothing."""
    import torch
    import transformers

    prompt = ask(WORDS[0])
    plain, detailed = Answer(batch, prompt).whole(), Answer(batch, prompt, logprobs=0).whole()
    assert isinstance(detailed, DetailedCompletion)
    assert (plain.text, plain.usage, type(plain)) == (detailed.text, detailed.usage, Completion)
    tokens = generator._tokenizer()
    request = generator._request(tokens, prompt)
    ids = [*request.ids, *tokens.tokenizer.encode(detailed.text, add_special_tokens=False).ids]
    network = transformers.AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    with torch.no_grad():
        logits = network(torch.tensor([ids])).logits[0].log_softmax(-1)
    first = len(request.ids)
    assert "".join(chance.token for chance in detailed.chances) == detailed.text
    assert len(ids) - first == len(detailed.chances) > 5
    for place, chance in enumerate(detailed.chances):
        assert chance.logprob == pytest.approx(float(logits[first + place - 1, ids[first + place]]), abs=0.02)
        assert chance.alternatives == ()


def test_memory_does_not_grow_with_the_lengths_of_prompts(batch: LiveBatch) -> None:
    """The runtime compiles kernels for each number of tokens, some half a megabyte, and has room for thousands."""
    assert isinstance(batch, Process)
    Answer(batch, ask("oats")).whole()
    assert batch._child is not None
    statm = Path(f"/proc/{batch._child.pid}/statm")
    before = 0
    for length in range(140):
        # each begins in another way, so that the prefix cache saves no token
        Answer(batch, ask(f"{length}{' oats' * length}", max_tokens=1)).whole()
        if length == 80:
            before = int(statm.read_text().split()[1])
    grown = (int(statm.read_text().split()[1]) - before) * os.sysconf("SC_PAGE_SIZE") / 2**20
    assert grown < 35, f"{grown:.0f} MiB"
