"""The local generator on the real embedded model, and on a tiny random one where weights are changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from twofold.errors import ModelError, ModelNotPulled, WrongWeights
from twofold.generation.export import merging
from twofold.generation.local import LocalGenerator, LocalOptions
from twofold.generation.runtimes import openvino
from twofold.generation.runtimes.contract import NO_ROOM, Request, Result, Tokens
from twofold.generation.runtimes.openvino import OpenVinoRuntime
from twofold.generation.runtimes.openvino import _tokenizer as compiled
from twofold.host import capabilities
from twofold.models.tensors import Weights
from twofold.plugins import loading
from twofold.testing.conformance_generator import PROMISES, Subject, opened, prompt
from twofold.types import Adapter, Completion, Failure, Message, Prompt

QUESTIONS = ["How are potatoes stored?", "What is 2+2?", "Name a colour.", "List 3 crops, 2 tools and 1 season."]


def local(adapter: Adapter | None = None, **options: object) -> LocalGenerator:
    made: LocalGenerator = loading.make("generators", "local", options, adapter=adapter)
    return made


@pytest.fixture(scope="module")
def shipped(smollm: Path) -> LocalGenerator:
    """Exactly what a user gets without any option."""
    return local()


def test_shipped_runtime_answers_three_sanity_questions(shipped: LocalGenerator) -> None:
    asked = ["What is the capital of France?", "What is 2+2?", "What is the opposite of hot?"]
    answers = shipped.generate([prompt(question, max_tokens=24) for question in asked])
    for answer, word in zip(answers, ("Paris", "4", "cold"), strict=True):
        assert word in answer.text, answer
    assert shipped.description["runtime"] in ("openvino", "transformers")


def test_a_schema_is_kept_and_bad_ones_fail_alone(shipped: LocalGenerator) -> None:
    if shipped.description["runtime"] != "openvino":
        pytest.skip("only OpenVINO keeps to a schema")
    person = {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "maximum": 99, "minimum": 1}}
    schema = json.dumps({"type": "object", "properties": person, "required": ["name", "age"]})
    say = (Message(role="user", content="Invent a person."),)
    asked = [Prompt(messages=say, schema=text, max_tokens=60) for text in (schema, '{"type": "objekt"}', "{{")]
    good, unknown, broken = shipped.generate([*asked])
    assert set(json.loads(good.text)) == {"name", "age"}
    for bad in (unknown, broken):
        assert bad.failure is not None
        assert bad.failure.code == "generation.schema"
    assert [item.failure for item in shipped.stream(asked[1]) if isinstance(item, Completion)] == [unknown.failure]


def test_limits_stop_strings_and_overlong_prompts(shipped: LocalGenerator) -> None:
    hot = "What is the opposite of hot?"
    stopped = Prompt(messages=(Message(role="user", content=hot),), stop=("cold",), max_tokens=24)
    long, short, cut = shipped.generate([prompt("x " * 9000), prompt(hot, max_tokens=3), stopped])
    assert long.failure is not None
    assert long.failure.code == "generation.too-long"
    assert (long.seconds, short.seconds == cut.seconds > 0) == (0.0, True), "what never ran has no share of the batch"
    assert (short.finish, short.usage.completion_tokens) == ("length", 3)
    assert cut.finish == "stop"
    assert cut.text
    assert "cold" not in cut.text
    *pieces, last = shipped.stream(stopped)
    assert "".join(map(str, pieces)) == cut.text
    assert isinstance(last, Completion)
    assert (last.text, last.finish) == (cut.text, "stop")
    *_, last = shipped.stream(prompt(hot, max_tokens=3))
    assert isinstance(last, Completion)
    assert (last.finish, last.usage) == ("length", short.usage)
    [last] = shipped.stream(prompt("x " * 9000))
    assert isinstance(last, Completion)
    assert last.failure == long.failure, "streamed or not, the same failure with the same code"


def test_an_interrupted_batch_leaves_nothing_in_the_engine(
    shipped: LocalGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [prompt("Name a fruit."), prompt("Name a colour.")]
    expected = [done.text for done in shipped.generate(prompts)]
    runtime = shipped._runtime
    steps, real = iter(range(3)), runtime.step

    def step() -> None:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        real()

    monkeypatch.setattr(runtime, "step", step)
    with pytest.raises(KeyboardInterrupt):
        shipped.generate(prompts)
    assert not runtime._pipeline.has_non_finished_requests()
    monkeypatch.undo()
    assert [done.text for done in shipped.generate(prompts)] == expected


def test_a_right_answer_is_likelier_than_a_wrong_one_each_time_it_is_read(shipped: LocalGenerator) -> None:
    asked = prompt("What is the capital of France?")
    shipped.generate([asked])  # puts the prompt into the prefix cache, of which no probability is told
    right, wrong, again, long = shipped.likelihoods(
        [(asked, "The capital of France is Paris."), (asked, "The capital of France is Oslo."),
         (asked, "The capital of France is Paris."), (prompt("x " * 9000), "x")]
    )  # fmt: skip
    assert not isinstance(right, Failure)
    assert not isinstance(wrong, Failure)
    assert sum(right) > sum(wrong) + 2
    assert right == again
    assert all(logprob <= 0 for logprob in right)
    assert isinstance(long, Failure)
    assert long.code == "generation.too-long"
    assert shipped.likelihoods([]) == []


def test_reading_and_generating_take_turns_with_one_pipeline_in_memory(tiny: Path, own_cache: Path) -> None:
    generator = local(model=f"path:{tiny}", runtime="openvino", dtype="f32", threads=2)
    asked = prompt(QUESTIONS[0])
    answers, readings = [], []
    for _ in range(2):
        answers.append(generator.generate([asked])[0].text)
        runtime: Any = generator._runtime
        assert (runtime._pipeline is None, runtime._reading is None) == (False, True)
        readings.append(generator.likelihoods([(asked, "Rice, 12 potatoes and a blue spade.")]))
        assert (runtime._pipeline is None, runtime._reading is None) == (True, False)
    generator.close()
    assert answers[0] == answers[1]
    assert readings[0] == readings[1]


def test_turns_that_follow_one_answer_do_not_mix(tiny: Path, own_cache: Path) -> None:
    texts = []
    for kept in (True, False):
        generator = local(model=f"path:{tiny}", runtime="openvino", dtype="f32", threads=2, prefix_cache=kept)
        runtime: Any = generator._ready()[0]
        beginning = tuple(range(40, 61))
        # Prompt and answer end within a block of the prefix cache, which has 32 tokens.
        [ended] = runtime.generate([Request(ids=beginning, max_tokens=20)], None)
        turns = [Request(ids=(*beginning, *ended.ids, *range(at, at + 7)), max_tokens=12) for at in (70, 90, 110, 130)]
        texts.append([result.ids for result in runtime.generate(turns, None)])
        generator.close()
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 1


def test_both_runtimes_find_an_answer_equally_likely(tiny: Path, own_cache: Path) -> None:
    pairs = [(prompt(question), "Rice, 12 potatoes and a blue spade.") for question in QUESTIONS[:2]]
    readings = {}
    for runtime in ("openvino", "transformers"):
        generator = local(model=f"path:{tiny}", runtime=runtime, dtype="f32", threads=2)
        readings[runtime] = generator.likelihoods(pairs)
        generator.close()
    for first, second in zip(*readings.values(), strict=True):
        assert len(first) > 5
        assert first == pytest.approx(second, abs=0.05)


def test_prompt_tokens_are_those_of_training(smollm: Path) -> None:
    from tokenizers import Tokenizer

    tokens = Tokens(smollm)
    messages = [Message(role="system", content="Be brief."), Message(role="user", content="12,5 kg  ümlaut 日本?")]
    text = tokens.text(messages)
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n12,5 kg  ümlaut 日本?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    plain = Tokenizer.from_file(str(smollm / "tokenizer.json"))
    assert list(tokens.encode(text)) == plain.encode(text, add_special_tokens=False).ids
    assert tokens.decode(tokens.encode("12,5 kg  ümlaut 日本?")) == "12,5 kg  ümlaut 日本?"
    assert tokens.encode("<|im_end|>")[0] in tokens.ends


def test_what_the_cache_has_no_room_for_is_refused_with_the_numbers(smollm: Path) -> None:
    failed = Tokens(smollm).completion(Request(ids=(1, 2, 3), max_tokens=9), Result(failure=NO_ROOM), 0.0)
    assert failed.failure is not None
    assert failed.failure.code == "generation.too-long"
    assert failed.failure.message.startswith("3 prompt tokens and 9 new ones do not fit in the key-value cache")


def test_a_stream_that_finds_no_room_ends_with_that_failure_and_no_empty_answer() -> None:
    status = SimpleNamespace(RUNNING="running", IGNORED="ignored")
    runtime = object.__new__(OpenVinoRuntime)
    runtime._genai = SimpleNamespace(GenerationStatus=status)
    runtime._pipeline = SimpleNamespace(has_non_finished_requests=lambda: True, step=lambda: None)
    runtime._running = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenVinoRuntime, "begin", lambda *_: SimpleNamespace(get_status=lambda: status.IGNORED))
        assert list(runtime.stream(Request(ids=(1, 2, 3), max_tokens=9))) == [NO_ROOM]


def test_a_long_beginning_that_all_prompts_share_is_read_once(
    tiny: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "_BEGINNING", 128)
    shared = "The farm stores potatoes in a cool and dark place. " * 12
    batch = [prompt(f"{shared} {question}", max_tokens=2) for question in QUESTIONS]
    steps, answers = {}, {}
    for kept in (True, False):
        generator = local(
            model=f"path:{tiny}", runtime="openvino", dtype="f32", threads=2, batch_tokens=64, prefix_cache=kept
        )
        runtime, _ = generator._ready()
        counted = iter(range(1000))
        step = runtime.step
        monkeypatch.setattr(runtime, "step", lambda step=step, counted=counted: (next(counted), step()))
        answers[kept] = [answer.text for answer in generator.generate(batch)]
        steps[kept] = next(counted)
        generator.close()
    # Four prompts of some 140 tokens, 64 of which are read in a step; what is read once saves more than half of them.
    assert steps[True] < steps[False]
    assert answers[True] == answers[False]


@pytest.fixture(scope="module", params=["openvino", "transformers"])
def subject(request: pytest.FixtureRequest, tiny: Path) -> Iterator[Subject]:
    """A generator for the conformance suite, loaded once for what does not close it."""
    yield from opened(lambda: local(model=f"path:{tiny}", runtime=request.param, dtype="f32", threads=2))


@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(promise: Callable[[Subject], None], subject: Subject, own_cache: Path) -> None:
    promise(subject)


def test_key_changes_with_everything_that_changes_answers(tiny: Path, own_cache: Path, tmp_path: Path) -> None:
    model = f"path:{tiny}"
    one, two = (
        Adapter(key=f"adapter:{name}", weights=name, path=str(tmp_path), template="") for name in ("one", "two")
    )
    has_bf16 = capabilities.resolve("auto", "openvino") == "bf16"  # without it all that is asked for is computed in f32
    made = [
        local(model=model, runtime="openvino"),
        local(model=model, runtime="transformers"),
        local(model=model, runtime="openvino", dtype="f32"),
        local(model=model, runtime="openvino", temperature=0.5),
        local(one, model=model, runtime="openvino"),
        local(two, model=model, runtime="openvino"),
        local(model=model, runtime="openvino", stop=("\n\n",)),
    ]
    assert len({generator.key for generator in made}) == len(made) - (not has_bf16)
    again = replace(one, weights="another run of the same job")
    assert local(again, model=model, runtime="openvino").key != local(one, model=model, runtime="openvino").key
    assert merging.merged_key("w", again) != merging.merged_key("w", one)
    assert local(model=model, runtime="openvino", dtype="bf16", cache_gib=2).key == made[0].key


def test_strings_that_end_a_models_answers_end_them_as_those_of_a_prompt(tiny: Path, own_cache: Path) -> None:
    options = {"model": f"path:{tiny}", "runtime": "transformers", "dtype": "f32"}
    whole = local(**options)
    [free] = whole.generate([prompt("hot", max_tokens=24)])
    mark = free.text[len(free.text) // 2]
    ended = local(**options, stop=("never written", mark))
    [cut] = ended.generate([prompt("hot", max_tokens=24)])
    assert (cut.text, cut.finish) == (free.text[: free.text.index(mark)], "stop")
    assert ended.description["stop"] == ["never written", mark]
    assert "stop" not in whole.description


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotPulled):
        local(model=f"path:{tmp_path / 'none'}")


def largest_gap(generator: LocalGenerator, model: Path, adapter: Adapter | None, prompts: list[Prompt]) -> float:
    """How far below the reference's best logit the generator's tokens ever lie (logits of these models spread by 2)."""
    import peft
    import torch
    import transformers

    network = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    if adapter is not None:
        network = peft.PeftModel.from_pretrained(network, adapter.path)
    runtime, tokens = generator._ready()
    worst = 0.0
    for asked in prompts:
        ids = tokens.encode(tokens.text(asked.messages))
        new = list(runtime.generate([Request(ids=ids, max_tokens=16)], None)[0].ids)
        with torch.inference_mode():
            logits = network(torch.tensor([[*ids, *new]])).logits[0, len(ids) - 1 : -1]
        chosen = logits[torch.arange(len(new)), torch.tensor(new)]
        worst = max(worst, float((logits.max(-1).values - chosen).max()))
    return worst


def test_adapters_do_not_leak_and_equal_the_unmerged_adapter(
    tiny: Path, own_cache: Path, tmp_path: Path, random_adapter: Callable[..., Adapter]
) -> None:
    """Three generators alive at once, prefix caches warm, each still answers like transformers with its own adapter."""
    model = f"path:{tiny}"
    adapters = [
        None,
        random_adapter(tiny, tmp_path / "a", seed=1, use_rslora=True, alpha_pattern={"v_proj": 3}),
        random_adapter(tiny, tmp_path / "b", seed=2, rank_pattern={"layers.1.self_attn.q_proj": 2}),
    ]
    prompts = [prompt("The same long beginning of all. " * 12 + question, max_tokens=16) for question in QUESTIONS]
    made = [local(a, model=model, runtime="openvino", dtype="f32", parity=a is adapters[1]) for a in adapters]
    before = compiled.cache_info().misses
    warm = [[c.text for c in generator.generate(prompts)] for generator in made]
    again = [[c.text for c in generator.generate(prompts)] for generator in made[::-1]][::-1]
    assert again == warm
    for generator, adapter in zip(made, adapters, strict=True):
        assert largest_gap(generator, tiny, adapter, prompts) < 0.15
    assert largest_gap(made[1], tiny, adapters[2], prompts) > 1, "the check cannot tell adapters apart"
    assert len({tuple(texts) for texts in warm}) == 3, "the adapters change nothing: leaking could not be seen"
    parity = made[1].description["parity"]
    assert parity["checked"]
    assert parity["logits"] < 0.05 * parity["moved"]
    assert parity["greedy"] == 1.0
    assert compiled.cache_info().misses - before <= 1, "one tokenizer serves all that have the same"
    for generator in made:
        generator.close()


def test_merged_weights_are_those_of_peft(tiny: Path, tmp_path: Path, random_adapter: Callable[..., Adapter]) -> None:
    import numpy as np
    import peft
    import torch
    import transformers

    adapter = random_adapter(tiny, tmp_path / "a", seed=3, use_rslora=True, rank_pattern={"down_proj": 2})
    (tmp_path / "merged").mkdir()
    assert merging.merge(tiny, adapter, tmp_path / "merged") == 8
    base = transformers.AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    expected = peft.PeftModel.from_pretrained(base, adapter.path).merge_and_unload().state_dict()
    ours = Weights(tmp_path / "merged")
    for name in ours:
        assert np.allclose(ours[name], expected[name].numpy(), rtol=1e-3, atol=1e-4), name


def test_an_adapter_of_another_base_of_the_same_shape_is_refused(
    tiny: Path, tmp_path: Path, own_cache: Path, random_adapter: Callable[..., Adapter]
) -> None:
    from twofold.models import hub
    from twofold.models.tensors import write_safetensors

    adapter, weights = random_adapter(tiny, tmp_path / "a", seed=4), hub.weights_digest(tiny)
    other = tmp_path / "other"
    shutil.copytree(tiny, other)
    base = Weights(tiny)
    write_safetensors(other / "model.safetensors", [(name, "", base[name] * 0.5) for name in base])
    manifest = {"key": adapter.key, "base": {"model": "wheat-1b", "weights": weights}}
    (tmp_path / "a" / "manifest.json").write_text(json.dumps(manifest))
    for runtime in ("auto", "transformers"):
        with pytest.raises(WrongWeights) as caught:
            LocalGenerator(LocalOptions(model=f"path:{other}", runtime=runtime), adapter=adapter)
        assert "'wheat-1b'" in caught.value.message
        assert weights in caught.value.message
        assert hub.weights_digest(other) in caught.value.message
        LocalGenerator(LocalOptions(model=f"path:{tiny}", runtime=runtime), adapter=adapter).close()


def test_an_adapter_that_does_not_fit_is_refused(
    tiny: Path, tmp_path: Path, random_adapter: Callable[..., Adapter]
) -> None:
    adapter = random_adapter(tiny, tmp_path / "a", seed=4)
    recipe = tmp_path / "a" / "adapter_config.json"
    values = json.loads(recipe.read_text())
    recipe.write_text(json.dumps({**values, "bias": "all"}))
    with pytest.raises(ModelError, match="bias") as caught:
        merging.merge(tiny, adapter, tmp_path)
    assert "transformers" in caught.value.cure
    recipe.write_text(json.dumps({**values, "lora_alpha": 0}))
    with pytest.raises(ModelError, match="changes nothing"):
        merging.merge(tiny, adapter, tmp_path)
    recipe.write_text(json.dumps(values))
    config = json.loads((tiny / "config.json").read_text())
    smaller = tmp_path / "smaller"
    smaller.mkdir()
    (smaller / "config.json").write_text(json.dumps(config))
    from twofold.models.tensors import write_safetensors

    some = Weights(tiny)
    write_safetensors(
        smaller / "model.safetensors",
        [(name, "BF16", some.stored(name)[2]) for name in some if "layers.1" not in name],
    )
    with pytest.raises(ModelError, match="which the model has not"):
        merging.merge(smaller, adapter, tmp_path)
