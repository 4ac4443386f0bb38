"""Embedders keep the protocol's promises; reduced precision stays with the reference on real texts."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_sets import folder
from twofold.errors import ConfigError, ModelError
from twofold.models import hub
from twofold.retrieval.embedders.openvino import OpenVinoEmbedder
from twofold.retrieval.embedders.torch import TorchEmbedder
from twofold.testing.conformance_embedder import PROMISES, Subject
from twofold.testing.hashing_embedder import HashingEmbedder


def opened(encoder: str, **options: object) -> OpenVinoEmbedder:
    return OpenVinoEmbedder(OpenVinoEmbedder.Options.model_validate({"model": encoder, **options}))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    lines = (folder("agxqa") / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    short = (folder("agxqa") / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines[:40]] + [json.loads(line)["question"] for line in short[:40]]


@pytest.fixture(scope="module", params=["hashing", "openvino", "torch"])
def subject(request: pytest.FixtureRequest) -> Subject:
    """An embedder for the conformance suite, opened once."""
    if request.param == "hashing":
        return Subject(make=lambda: HashingEmbedder(HashingEmbedder.Options()))
    encoder = request.getfixturevalue("encoder")
    if request.param == "openvino":
        return Subject(make=lambda: opened(encoder, max_tokens=64))
    pytest.importorskip("transformers")
    return Subject(make=lambda: TorchEmbedder(TorchEmbedder.Options(model=encoder, max_tokens=64)))


@pytest.mark.parametrize("promise", PROMISES)
def test_conformance(promise: Callable[[Subject], None], subject: Subject) -> None:
    promise(subject)


def test_every_real_text_agrees_with_the_fp32_reference(encoder: str, texts: list[str]) -> None:
    pytest.importorskip("transformers")
    reference = TorchEmbedder(TorchEmbedder.Options(model=encoder, precision="f32")).embed(texts)
    for precision, least in (("bf16", 0.999), ("f32", 0.99999)):
        cosine = np.sum(opened(encoder, precision=precision).embed(texts) * reference, axis=1)
        assert cosine.min() >= least, (precision, cosine.min(), texts[int(cosine.argmin())][:60])


def test_the_reference_is_the_model_as_its_authors_use_it(encoder: str) -> None:
    """Pooling and normalisation as in sentence-transformers, worked out here by hand."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    path = str(hub.locate(encoder))
    tokenizer, model = transformers.AutoTokenizer.from_pretrained(path), transformers.AutoModel.from_pretrained(path)
    inputs = tokenizer(
        ["Water is scarce.", "A much longer sentence about sprinklers."], padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        states, mask = model(**inputs).last_hidden_state, inputs["attention_mask"][..., None]
        expected = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))
    got = opened(encoder, precision="f32").embed(["Water is scarce.", "A much longer sentence about sprinklers."])
    assert np.abs(got - expected.numpy()).max() < 1e-5


def test_a_long_text_is_cut_for_its_vector_and_the_cut_is_logged(
    encoder: str, caplog: pytest.LogCaptureFixture
) -> None:
    embedder = opened(encoder, max_tokens=16)
    long = "irrigation of maize fields " * 50
    with caplog.at_level(logging.INFO, logger="twofold.retrieval.embedders.tokenizing"):
        vectors = embedder.embed([long, long + "and something else entirely", "short"])
    assert "2 of 3 texts were cut to 16 tokens" in caplog.text
    assert float(vectors[0] @ vectors[1]) > 0.9999
    assert len(embedder.offsets(long)) > 150


def test_special_tokens_in_a_text_are_text(encoder: str) -> None:
    embedder = opened(encoder)
    assert embedder.offsets("a [SEP] b") == [(0, 1), (2, 3), (3, 6), (6, 7), (8, 9)]
    assert float(np.prod(embedder.embed(["[PAD]", "[MASK]"]), axis=0).sum()) < 0.9


def test_fingerprint_names_what_changes_vectors(encoder: str) -> None:
    plain = opened(encoder).fingerprint
    assert opened(encoder, batch=3, threads=1).fingerprint == plain
    asked = {opened(encoder, precision=name).fingerprint for name in ("bf16", "f32")}
    assert plain in asked  # auto is one of them, by the machine; without bf16 instructions both are f32
    assert len({*asked, opened(encoder, max_tokens=128).fingerprint}) == len(asked) + 1


def test_embedding_from_many_threads(encoder: str) -> None:
    embedder = opened(encoder)
    queries = [f"query number {number} about soil" for number in range(24)]
    together = embedder.embed(queries)
    with ThreadPoolExecutor(8) as pool:
        alone = list(pool.map(lambda query: embedder.embed([query])[0], queries))
    assert np.sum(together * np.stack(alone), axis=1).min() > 0.999


@pytest.mark.parametrize("precision", ["auto", "f32"])
def test_a_text_has_the_same_vector_in_any_company(encoder: str, texts: list[str], precision: str) -> None:
    """Workers embed parts of what one process embeds at once, and a live question comes alone."""
    embedder = opened(encoder, precision=precision)
    together = embedder.embed(texts)
    for size in (1, 7, 32):
        pieces = [embedder.embed(texts[start : start + size]) for start in range(0, len(texts), size)]
        assert np.array_equal(np.concatenate(pieces), together), size
    alone = [embedder.tokens([text])[0] for text in texts[:20]]
    assert all(map(np.array_equal, alone, embedder.tokens(texts[:20])))


def test_openvino_needs_no_torch(encoder: str) -> None:
    code = (
        "import sys\n"
        "from twofold.retrieval.embedders.openvino import OpenVinoEmbedder as E\n"
        f"assert E(E.Options(model={encoder!r})).embed(['x']).shape == (1, 384)\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'torch was loaded'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_what_cannot_be_embedded_says_why(encoder: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="512 tokens that the model reads"):
        opened(encoder, max_tokens=1000)
    source = hub.locate(encoder)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(source / name, tmp_path / name)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    embedder = opened(f"path:{tmp_path}")
    with pytest.raises(ModelError):
        embedder.embed(["x"])
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(ModelError, match="not a BERT encoder"):
        opened(f"path:{tmp_path}")
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="tokenizer"):
        opened(f"path:{tmp_path}")


def test_a_long_text_is_cut_into_tokens_while_others_work(encoder: str) -> None:
    """Else a caller of a server who sends one holds up everybody for seconds."""
    embedder = opened(encoder)
    # The best of three: on a busy machine another process may hold up the thread that counts.
    assert min(_longest_wait(embedder) for _ in range(3)) < 1


def _longest_wait(embedder: Any) -> float:
    """The longest that another thread waited while a long text was cut, over what it may wait."""
    text = "parking costs 4 euros, " * 20_000
    part = embedder.offsets("parking costs 4 euros, ")
    waits: list[float] = []
    over = threading.Event()

    def work() -> None:
        last = time.perf_counter()
        while not over.is_set():
            time.sleep(0.002)
            now = time.perf_counter()
            waits.append(now - last)
            last = now

    working = threading.Thread(target=work)
    working.start()
    begun = time.perf_counter()
    offsets = embedder.offsets(text)
    taken = time.perf_counter() - begun
    over.set()
    working.join()
    assert len(offsets) == 20_000 * len(part)
    assert list(offsets[: len(part)]) == list(part)
    return max(waits) / max(0.1, taken / 2)
