"""Ids are made of content, aliases move with an audit line, and what lost its bytes is refused."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from twofold.errors import ConfigError, StoreError, UnknownName
from twofold.plugins.results import ExportedForm
from twofold.reports.model_card import DescribedModel, card
from twofold.store.artifacts import Artifacts
from twofold.store.catalogue import Catalogue
from twofold.store.model_registry import LEARNED, Registry, model_id, short


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(Artifacts(tmp_path / "artifacts"), Catalogue(tmp_path / "catalogue.sqlite").models)


def made(registry: Registry, weights: bytes, key: str = "", **more: Any) -> str:
    """A finished adapter; returns its id."""
    key = key or f"adapter:{weights.hex()[:12]}"
    work = registry.artifacts.working(key)
    (work / "adapter_model.safetensors").write_bytes(weights)
    (work / "train.log").write_text(f"log of {key}")
    (work / LEARNED).write_text(json.dumps({"train": ["example:1"], "dev": []}))
    manifest = {
        "kind": "adapter",
        "arm": "ft",
        "tuning": "closed-book",
        "template": "template:1",
        "model": "small",
        "base": {
            "model": "small",
            "source": "hf:org/small@1",
            "revision": "1",
            "weights": "weights:1",
            "licence": "MIT",
        },
        "trainer": {"name": "lora", "version": 1, "options": {"rank": 8}},
        "seed": 3,
        "rows": 5,
        "data": {"rows": 5, "train": {"examples": 1, "digest": "train:1"}},
        "documents": [],
        "report": {"steps": 4, "loss": [[1, 2.0]], "seconds": 1.5},
        **more,
    }
    registry.artifacts.finish(key, manifest)
    return registry.register(key)


def test_an_id_names_bytes_not_recipes(registry: Registry) -> None:
    one = made(registry, b"weights one", key="adapter:recipe")
    registry.artifacts.remove("adapter:recipe")
    two = made(registry, b"weights two", key="adapter:recipe")
    assert one != two, "the same recipe gave other weights: another id"
    assert [(r["id"], r["here"]) for r in registry.records()] == [(one, False), (two, True)]
    with pytest.raises(StoreError, match="are missing"):
        registry.checked(one)
    registry.artifacts.remove("adapter:recipe")
    assert made(registry, b"weights one", key="adapter:second") == one, "the same bytes: the same id"
    assert registry.checked(one)["key"] == "adapter:second"
    again = made(registry, b"weights one", key="adapter:third", base={"weights": "weights:2", "model": "small"})
    assert again != one, "the same difference on another base is another model"


def test_changed_bytes_are_refused_under_their_id(registry: Registry) -> None:
    name = made(registry, b"weights")
    path = registry.artifacts.find(registry.find(name)["key"])
    assert path is not None
    (path / "adapter_model.safetensors").write_bytes(b"WEIGHTS")
    with pytest.raises(StoreError, match="damaged"):
        registry.promote(name)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["adapter_model.safetensors"]["sha256"] = "0" * 64
    assert model_id(manifest) != name
    assert registry.models.aliases() == {}


def test_names(registry: Registry) -> None:
    name = made(registry, b"a")
    registry.promote(name, alias="staging")
    for wanted in (name, short(name), name[: len("model:") + 5], "staging", registry.find(name)["key"]):
        assert registry.find(wanted)["id"] == name
    with pytest.raises(UnknownName, match="unknown tuned model 'stagin'") as caught:
        registry.find("stagin")
    assert "'staging'" in caught.value.cure
    with pytest.raises(UnknownName, match="is too short for a model's id") as caught:
        registry.find(name[6:9])
    assert "at least 4 characters" in caught.value.cure
    with pytest.raises(UnknownName, match="unknown tuned model ''"):
        registry.find("")
    with pytest.raises(ConfigError):
        registry.promote(name, alias="No Alias")


def test_promote_and_rollback_leave_an_audit(registry: Registry) -> None:
    a, b, c = (made(registry, w) for w in (b"a", b"b", b"c"))
    with pytest.raises(StoreError, match="no previous model"):
        registry.rollback()
    for name in (a, b, c):
        registry.promote(name, who="ada", why=f"try {name}")
    registry.promote(c, who="ada", why="again")
    assert registry.rollback(who="bob", why="it was slow")["after"] == b
    assert registry.rollback()["after"] == a
    with pytest.raises(StoreError, match="no previous model"):
        registry.rollback()
    registry.promote(c)
    assert registry.rollback()["after"] == a, "what was rolled back is not come back to"
    moves = registry.models.alias_moves()
    assert [m["action"] for m in moves].count("rollback") == 3
    told = {"alias": "champion", "action": "rollback", "before": c, "after": b, "who": "bob", "why": "it was slow"}
    assert {key: value for key, value in moves[4].items() if key != "at"} == told
    assert [m["at"] for m in moves] == sorted(m["at"] for m in moves)
    assert moves[5]["who"], "somebody is always named"


def test_a_rollback_to_lost_files_is_refused(registry: Registry) -> None:
    a, b = made(registry, b"a"), made(registry, b"b")
    registry.promote(a)
    registry.promote(b)
    registry.artifacts.remove(registry.find(a)["key"])
    with pytest.raises(StoreError, match="are missing"):
        registry.rollback()
    assert registry.models.aliases() == {"champion": b}


def test_who_decided_on_an_older_state_is_told(registry: Registry) -> None:
    a, b, c = (made(registry, w) for w in (b"a", b"b", b"c"))
    registry.promote(a)
    registry.promote(b)
    with pytest.raises(StoreError, match="another process moved"):
        registry.promote(c, expected=a)
    assert registry.models.aliases()["champion"] == b
    assert len(registry.models.alias_moves()) == 2, "a refused move leaves no line"


def test_moves_from_many_threads_are_whole(registry: Registry, tmp_path: Path) -> None:
    names = [made(registry, bytes([n])) for n in range(4)]

    def work(name: str) -> None:
        with Catalogue(tmp_path / "catalogue.sqlite") as own:
            for _ in range(10):
                with suppress(StoreError):  # another was faster
                    Registry(registry.artifacts, own.models).promote(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moves = registry.models.alias_moves()
    assert [m["before"] for m in moves] == ["", *(m["after"] for m in moves[:-1])], "no line is lost or doubled"
    assert registry.models.aliases()["champion"] == moves[-1]["after"]


def test_what_is_kept(registry: Registry) -> None:
    old = made(registry, b"grandparent")
    parent = made(registry, b"parent", lineage={"from": old})
    child = made(registry, b"child", lineage={"from": parent}, trained="trained:raw")
    made(registry, b"alone")
    assert registry.keys_in_use() == set()
    registry.promote(child, alias="candidate")
    own = {r["id"]: r["key"] for r in registry.records()}
    assert registry.keys_in_use() == {own[child], own[parent], own[old], "trained:raw"}
    other = made(registry, b"other")
    registry.promote(other)
    registry.promote(made(registry, b"newer"))
    assert registry.find(other)["key"] in registry.keys_in_use(), "a rollback needs it"


def test_an_older_catalogue_is_brought_up_to_date(tmp_path: Path) -> None:
    from twofold.store.migrations import MIGRATIONS

    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE migrations (version INTEGER PRIMARY KEY, applied TEXT) STRICT")
        for number, script in enumerate(MIGRATIONS[:2], 1):
            db.executescript(script)
            db.execute("INSERT INTO migrations VALUES (?, 'then')", (number,))
    with Catalogue(path) as catalogue:
        assert catalogue.models.aliases() == {}
        with pytest.raises(StoreError, match="FOREIGN KEY"):
            catalogue.models.move_alias(
                {
                    "at": "",
                    "alias": "champion",
                    "action": "promote",
                    "before": "",
                    "after": "model:nothing",
                    "who": "",
                    "why": "",
                },
                expected="",
            )


def test_the_card_says_everything_and_no_number_alone(registry: Registry) -> None:
    name = made(registry, b"a", gate={"passed": False, "because": ["general: it lost too much"]})
    registry.promote(name, who="ada", why="better | faster")
    line = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 80, "failed": 1}
    record: DescribedModel = {
        **registry.find(name),
        "measured": [{"source": "study 1", "metric": "token_f1", "level": 0.97, "estimate": line}],
        "comparisons": {},
        "moves": registry.models.alias_moves(),
    }
    exported: ExportedForm = {
        "format": "gguf",
        "path": "out/gguf",
        "parity": {
            "prompts": 50,
            "greedy": 49,
            "logits": 0.0123,
            "moved": 4.5,
            "new_tokens": 8,
            "reader": "transformers",
        },
    }
    page = card(record, [exported])
    assert page.startswith("---\nlicense: mit\nbase_model: small\n")
    for fact in (name, "MIT", "weights", "template:1", "train:1", ".500 [.400, .600], n = 80, 1 failed", "FAILED",
                 "general: it lost too much", "better | faster", "49 of 50",
                 "0.012", "ada", "lora.rank", "hf:org/small@1"):  # fmt: skip
        assert fact in page, fact
    assert "Not gated" in card({**record, "gate": None})
    assert "run `twofold study`" in card({**record, "measured": []})
