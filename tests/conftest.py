"""Shared fixtures: the real data, and a throw-away project directory."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from copy import deepcopy
from functools import cache as cache_of
from pathlib import Path
from socketserver import TCPServer
from typing import Any

import pytest

import forked
from data_sets import DATA, NO_DATA
from forked_workers import pytest_unconfigure, pytest_xdist_setupnodes  # noqa: F401 - hooks of this session
from longest_first import pytest_collection_modifyitems  # noqa: F401 - a hook of this session
from object_store import object_store  # noqa: F401 - a fixture of every test
from short_vocabulary import write_tokenizer
from skip_limit import pytest_configure, pytest_sessionfinish, pytest_terminal_summary  # noqa: F401 - hooks of this session
from small_project import write_measurable
from twofold.host import cache, children
from twofold.models import hub
from twofold.project import Project
from twofold.testing import projects

# Of eight connections at once to a server of Python's own, which lets five wait, one is tried again after a second.
TCPServer.request_queue_size = 64
STARTED = children.running
# A suite that a script starts in the background inherits an ignored SIGINT, and its servers would keep it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Imports and test items are no garbage: looking for some among them takes a tenth of the collection."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was collected stays to the end, out of sight of the garbage collector, which walked it again and again.

    What tests import and cache stays as well: looking for garbage among it took up to a twelfth of a file's time, and
    is done a fifth as often. Young garbage is looked for as ever: connections in it hold files open.
    """
    gc.freeze()
    gc.set_threshold(700, 10, 50)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache in which tests, and the processes that they start, find the user's models but not the user's paces.

    What they measure of this machine stays out of the user's cache, and what that holds out of the tests.
    """
    users, place = cache.cache_root(), tmp_path_factory.mktemp("cache")
    for kind in ("models", "openvino", "merged", "parity", "machine"):
        (users / kind).mkdir(parents=True, exist_ok=True)
        (place / kind).symlink_to((users / kind).resolve(), target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWOFOLD_CACHE", str(place))
        yield place


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of whole real data sets, for tests that a sample cannot serve; CI must have it."""
    if not DATA.is_dir():
        pytest.skip(NO_DATA)
    return DATA


@pytest.fixture
def demo_questions(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a folder of the first so many demo questions and the documents that they are about."""

    def make(count: int) -> Path:
        return projects.write_questions(tmp_path / "source", count)

    return make


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all processes of this run."""
    place = tmp_path_factory.getbasetemp()
    return place.parent if "PYTEST_XDIST_WORKER" in os.environ else place


@pytest.fixture(scope="session")
def nursery(run_folder: Path) -> Iterator[forked.Nursery]:
    """Starts processes that have the library's imports behind them."""
    with forked.opened(forked.LIBRARY, run_folder / "library") as made:
        yield made


@pytest.fixture(scope="session")
def torch_nursery(run_folder: Path) -> Iterator[Callable[[], forked.Nursery]]:
    """Opens, where it is first called, a nursery whose processes have torch and transformers behind them."""
    with ExitStack() as stack:
        yield cache_of(lambda: stack.enter_context(forked.opened(forked.TORCH, run_folder / "torch")))


@pytest.fixture(scope="session", autouse=True)
def forked_children(torch_nursery: Callable[[], forked.Nursery]) -> Iterator[None]:
    """Children that train or check a model start with torch imported, which takes longer than what they do in tests.

    A test of the start itself takes `started_children`.
    """

    def running(module: str, arguments: Sequence[str], **streams: Any) -> AbstractContextManager[Any]:
        start = torch_nursery().running if module in forked.WITH_TORCH else STARTED
        return start(module, arguments, **streams)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(children, "running", running)
        yield


@pytest.fixture
def started_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children are started as users start them."""
    monkeypatch.setattr(children, "running", STARTED)


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A small project whose study chose `rag`; not to be changed."""
    directory = write_measurable(tmp_path_factory.mktemp("measured") / "p")
    with Project.open(directory) as project:
        assert project.study()["verdict"]["arm"] == "rag"
    return directory


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer random Llama with the embedded model's template and the first 8,192 tokens of its tokenizer.

    It trains in half a second: with all 49,152 tokens a step takes half as long again.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    source = hub.pull("smollm2-135m-instruct")
    target = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    settings = LlamaConfig(
        vocab_size=8192,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    LlamaForCausalLM(settings).save_pretrained(target)
    write_tokenizer(source, target, settings.vocab_size)
    return target


@pytest.fixture
def folder(demo_questions: Callable[[int], Path]) -> Path:
    """A hundred and twenty demo questions and their documents."""
    return demo_questions(120)


@pytest.fixture
def fast() -> Callable[..., dict[str, Any]]:
    """Overrides: echo generator, hashing embedder, no tuning."""

    def overrides(**echo: Any) -> dict[str, Any]:
        generator = {"name": "echo", "options": {"mode": "quote", **echo}}
        return {**deepcopy(projects.FAST), "generation": {"generator": generator, "batch": 8}}

    return overrides


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of a hundred and twenty demo questions, with the shipped fakes in place of models."""
    return projects.make_project(tmp_path / "project", questions=120)
