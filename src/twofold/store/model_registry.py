"""Tuned models by name: content-addressed ids, and aliases that move with an audit line.

An artifact's *key* is a digest of its recipe (rows, trainer, base); its *id* is a digest of the result: the files that
change answers, the base weights and the prompt template. Training the same recipe twice may give different weights, and
then two ids. An id always names the same weights; a model whose bytes have changed is refused.
"""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Literal

from twofold.errors import ConfigError, StoreError, UnknownName
from twofold.hashing import digest
from twofold.store.artifacts import Artifacts
from twofold.store.model_record import AliasMove, ModelFacts, ModelRecord
from twofold.store.tuned_models import ModelTable
from twofold.types import Json

CHAMPION, CANDIDATE = "champion", "candidate"
LEARNED = "learned.json"
"""File of an adapter with the digests of the examples that it learned from."""
REPORTS = frozenset({"training.json", "training.log.jsonl", "training.svg", "train.log", "README.md", LEARNED})
"""Files of an adapter that describe it and change no answer."""
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,31}")
_SHORTEST = 4
"""Fewest digits of an id that name a model."""


def weights_of(manifest: Json) -> dict[str, str]:
    """File → sha256 of the files of an adapter that change answers."""
    return {name: entry["sha256"] for name, entry in manifest["files"].items() if name not in REPORTS}


def model_id(manifest: Json) -> str:
    """The content-addressed id of a tuned model, ``model:…``."""
    made_of = {
        "files": weights_of(manifest),
        "base": manifest.get("base", {}).get("weights") or manifest["model"],
        "template": manifest["template"],
    }
    return digest("model", made_of)


def short(name: str) -> str:
    """The first twelve digits of an id, which commands accept as well."""
    return name.partition(":")[2][:12] or name


class Registry:
    """The tuned models of one project.

    Args:
        artifacts: The store of their files.
        models: The store of ids, aliases and audit lines.
    """

    def __init__(self, artifacts: Artifacts, models: ModelTable) -> None:
        self.artifacts = artifacts
        self.models = models

    def register(self, key: str) -> str:
        """Register a finished artifact and return its id. Registering it again changes nothing."""
        manifest = self.artifacts.manifest(key)
        name = model_id(manifest)
        self.models.put(name, key, at=str(manifest["made"]), record=_facts(name, manifest))
        return name

    def records(self) -> list[ModelRecord]:
        """Every tuned model ever made here, oldest first, with its ``aliases`` and whether its files are ``here``."""
        known = self.models.records()
        keys = {}
        for manifest in self._finished():
            name, key = model_id(manifest), str(manifest["key"])
            keys[name] = key
            if name not in known:  # so that a reading command writes nothing where all are registered
                self.register(key)
        names: dict[str, list[str]] = {}
        for alias, model in self.models.aliases().items():
            names.setdefault(model, []).append(alias)
        records: list[ModelRecord] = []
        for name, facts in self.models.records().items():
            # The same weights may have been made by another recipe since: that artifact is the one that is here.
            key = keys.get(name, facts["key"])
            records.append({**facts, "key": key, "aliases": names.get(name, []), "here": name in keys})
        return records

    def find(self, name: str) -> ModelRecord:
        """The record of an alias, an id, the beginning of one, or an artifact key.

        Raises:
            UnknownName: no model has this name, or several have.
        """
        records = self.records()
        target = self.models.aliases().get(name, name)
        exact = [r for r in records if target == r["id"]] or [r for r in records if r["here"] and target == r["key"]]
        digits = target.removeprefix("model:")
        begun = [r for r in records if len(digits) >= _SHORTEST and r["id"].startswith(f"model:{digits}")]
        matches = exact or begun
        if len(matches) == 1:
            return matches[0]
        if matches:
            ids = ", ".join(r["id"] for r in matches)
            raise UnknownName(f"ambiguous model id {name!r}", cure=f"Write more characters of one of these ids: {ids}.")
        if digits and any(r["id"].startswith(f"model:{digits}") for r in records):
            raise UnknownName(
                f"{name!r} is too short for a model's id",
                cure=f"Write at least {_SHORTEST} characters of it; `twofold models list` shows the ids.",
            )
        known = [*self.models.aliases(), *(short(r["id"]) for r in records)]
        near = get_close_matches(name, known, 1, 0.5)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise UnknownName(
            f"unknown tuned model {name!r}",
            cure=f"{hint}Known: {', '.join(known) or 'none'}; train with `twofold tune`.",
        )

    def checked(self, name: str) -> ModelRecord:
        """As `find`, after reading and comparing every byte of the model's files.

        Raises:
            StoreError: the files are missing, damaged, or differ from those of the id.
        """
        record = self.find(name)
        if not record["here"]:
            raise StoreError(
                f"the files of the model {record['id']} are missing; its record is kept",
                cure="Train again with `twofold tune`; new weights get a new id.",
            )
        self.artifacts.verify(record["key"])
        return record

    def learned(self, record: ModelRecord) -> dict[str, list[str]] | None:
        """Digests of the examples that a model learned from, ``train`` and ``dev``; None where none were recorded."""
        path = self.artifacts.find(record["key"])
        if path is None or not (path / LEARNED).is_file():
            return None
        digests: dict[str, list[str]] = json.loads((path / LEARNED).read_text(encoding="utf-8"))
        return digests

    # ------------------------------------------------------------ aliases

    def promote(
        self, name: str, *, alias: str = CHAMPION, who: str = "", why: str = "", expected: str | None = None
    ) -> AliasMove:
        """Point an alias to a model, after checking the model's bytes.

        Args:
            name: See `find`.
            alias: ``champion``, ``candidate`` or any other name.
            who: The person who decided; the operating system's user when empty.
            why: The reason, for the audit.
            expected: Id that the alias must still point to; None accepts any.

        Returns:
            The audit line.

        Raises:
            ConfigError: the alias is not a valid name.
            StoreError: the model's files are missing or damaged, or another process moved the alias.
        """
        if not _ALIAS.fullmatch(alias):
            raise ConfigError(
                f"invalid alias {alias!r}",
                cure="Use lower-case letters, digits and hyphens, such as champion, candidate or staging.",
            )
        record = self.checked(name)
        return self._move(alias, record["id"], "promote", who=who, why=why, expected=expected)

    def rollback(self, *, alias: str = CHAMPION, who: str = "", why: str = "") -> AliasMove:
        """Point an alias to its previous model; called again, to the one before that.

        Raises:
            StoreError: there is no previous model, or its files are missing.
        """
        model_ids = self.history(alias)
        if len(model_ids) < 2:
            raise StoreError(
                f"the alias {alias!r} has no previous model",
                cure="Promote a model listed by `twofold models list`.",
            )
        record = self.checked(model_ids[-2])
        return self._move(alias, record["id"], "rollback", who=who, why=why, expected=model_ids[-1])

    def history(self, alias: str) -> list[str]:
        """The models that an alias pointed to, oldest first, the present one last; without those rolled back."""
        model_ids: list[str] = []
        for move in self.models.alias_moves():
            if move["alias"] != alias:
                continue
            if move["action"] == "rollback":
                model_ids.pop()
            elif move["after"] != (model_ids[-1] if model_ids else ""):
                model_ids.append(move["after"])
        return model_ids

    def keys_in_use(self) -> set[str]:
        """Keys of the artifacts that aliases and a rollback need, with their ancestors and unmerged weights."""
        records = {r["id"]: r for r in self.records()}
        aliases = self.models.aliases()
        in_use = set(aliases.values())
        for alias in aliases:
            in_use.update(self.history(alias)[-2:])  # the present one, and the one that a rollback goes to
        waiting = list(in_use)
        while waiting:
            parent = records[waiting.pop()]["lineage"].get("from", "")
            if parent in records and parent not in in_use:
                in_use.add(parent)
                waiting.append(parent)
        keys: set[str] = set()
        for model in in_use:
            record = records[model]
            if record["here"]:
                keys.update(filter(None, (record.get("key"), record.get("trained"))))
        return keys

    def _move(
        self,
        alias: str,
        model: str,
        action: Literal["promote", "rollback"],
        *,
        who: str,
        why: str,
        expected: str | None,
    ) -> AliasMove:
        before = self.models.aliases().get(alias, "")
        move: AliasMove = {
            "alias": alias,
            "before": before,
            "after": model,
            "at": now(),
            "action": action,
            "who": who or user(),
            "why": why,
        }
        self.models.move_alias(move, expected=before if expected is None else expected)
        return move

    def _finished(self) -> Iterator[Json]:
        return (m for m in self.artifacts.list() if m["finished"] and m.get("kind") == "adapter")


def now() -> str:
    """The current time in UTC, to the microsecond, so that records keep their order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def user() -> str:
    """The operating system's name of whoever runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as containers have
        return "unknown"


def _facts(name: str, manifest: Json) -> ModelFacts:
    """The facts about a tuned model that stay in the catalogue when its files are deleted."""
    trainer, report = manifest["trainer"], manifest["report"]
    curves = ("loss", "dev", "dev_loss")
    return {
        "id": name,
        "key": manifest["key"],
        "made": manifest["made"],
        "bytes": manifest["bytes"],
        "files": weights_of(manifest),
        "method": manifest.get("method") or trainer.get("options", {}).get("method") or trainer["name"],
        "arm": manifest["arm"],
        "tuning": manifest["tuning"],
        "base": manifest.get("base") or {"model": manifest["model"]},
        "template": manifest["template"],
        "trainer": trainer,
        "seed": manifest.get("seed"),
        "data": manifest.get("data") or {"rows": manifest["rows"]},
        "documents": len(manifest.get("documents", ())),
        "seen": manifest.get("seen"),
        "gate": manifest.get("gate"),
        "dev": manifest.get("dev"),
        "merge_back": {k: v for k, v in (manifest.get("merge_back") or {}).items() if k != "front"},
        "trained": manifest.get("trained", ""),
        "lineage": manifest.get("lineage") or {},
        "report": {key: value for key, value in report.items() if key not in curves},
    }
