"""Tuned models by name: ids made of their content, aliases that move with an audit line.

An artifact's *key* says what was to be made (rows, trainer, base); its *id* is a digest of what came out: the files
that change answers, the base weights and the prompt template. Training twice from one recipe may give other weights;
then there are two ids. An id never names other weights than it did, and what no longer has its bytes is refused.
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
from twofold.store.tuned_models import TunedModels
from twofold.types import Json

CHAMPION, CANDIDATE = "champion", "candidate"
LEARNED = "learned.json"
"""File of an adapter with the digests of the examples that it learned from."""
REPORTS = frozenset({"training.json", "training.log.jsonl", "training.svg", "train.log", "README.md", LEARNED})
"""Files of an adapter that tell about it and change no answer."""
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,31}")
_SHORTEST = 4


def weights_of(manifest: Json) -> Json:
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
    """The first twelve digits of an id, which commands take too."""
    return name.partition(":")[2][:12] or name


class Registry:
    """The tuned models of one project.

    Args:
        artifacts: Where their files are.
        models: Where ids, aliases and audit lines are kept.
    """

    def __init__(self, artifacts: Artifacts, models: TunedModels) -> None:
        self.artifacts = artifacts
        self.models = models

    def register(self, key: str) -> str:
        """Make a finished artifact known; returns its id. Doing so again changes nothing."""
        manifest = self.artifacts.manifest(key)
        name = model_id(manifest)
        self.models.put(name, key, at=str(manifest["made"]), record=_facts(name, manifest))
        return name

    def records(self) -> list[Json]:
        """Every tuned model ever made here, oldest first, with its ``aliases`` and whether its files are ``here``."""
        known = self.models.records()
        keys = {}
        for manifest in self._finished():
            name, key = model_id(manifest), str(manifest["key"])
            keys[name] = key
            if name not in known:  # what only looks writes nothing
                self.register(key)
        names: dict[str, list[str]] = {}
        for alias, model in self.models.aliases().items():
            names.setdefault(model, []).append(alias)
        return [
            {**record, "key": keys.get(name, record["key"]), "aliases": names.get(name, []), "here": name in keys}
            for name, record in self.models.records().items()
        ]

    def find(self, name: str) -> Json:
        """The record of an alias, an id, the beginning of one, or an artifact key.

        Raises:
            UnknownName: nothing has that name, or several have.
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
        known = [*self.models.aliases(), *(short(r["id"]) for r in records)]
        near = get_close_matches(name, known, 1, 0.5)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise UnknownName(
            f"unknown tuned model {name!r}",
            cure=f"{hint}Known: {', '.join(known) or 'none'}; train with `twofold tune`.",
        )

    def checked(self, name: str) -> Json:
        """As `find`, every byte of its files read again.

        Raises:
            StoreError: its files are gone, damaged, or others than the id was given to.
        """
        record = self.find(name)
        if not record["here"]:
            raise StoreError(
                f"the files of the model {record['id']} are missing; its record is kept",
                cure="Train again with `twofold tune`; new weights get a new id.",
            )
        self.artifacts.verify(record["key"])
        return record

    def manifest(self, record: Json) -> Json:
        """The manifest of a tuned model whose files are here."""
        return self.artifacts.manifest(record["key"])

    def learned(self, record: Json) -> dict[str, list[str]] | None:
        """Digests of the examples it learned from, ``train`` and ``dev``; None for one made before they were kept."""
        path = self.artifacts.find(record["key"])
        if path is None or not (path / LEARNED).is_file():
            return None
        digests: dict[str, list[str]] = json.loads((path / LEARNED).read_text(encoding="utf-8"))
        return digests

    # ------------------------------------------------------------ aliases

    def alias(self, alias: str) -> Json | None:
        """The model that an alias stands for, or None."""
        name = self.models.aliases().get(alias)
        return self.find(name) if name else None

    def promote(
        self, name: str, *, alias: str = CHAMPION, who: str = "", why: str = "", expected: str | None = None
    ) -> Json:
        """Let an alias stand for this model, its bytes checked before.

        Args:
            name: See `find`.
            alias: ``champion``, ``candidate`` or a name of your own.
            who: Who decided; the operating system's user when empty.
            why: For the audit.
            expected: Id the alias must still stand for; None: whatever it does now.

        Returns:
            The audit line.

        Raises:
            ConfigError: the alias is no name.
            StoreError: the model's files are gone or damaged, or the alias was moved meanwhile.
        """
        if not _ALIAS.fullmatch(alias):
            raise ConfigError(
                f"invalid alias {alias!r}",
                cure="Use lower-case letters, digits and hyphens, such as champion, candidate or staging.",
            )
        record = self.checked(name)
        return self._move(alias, record["id"], "promote", who=who, why=why, expected=expected)

    def rollback(self, *, alias: str = CHAMPION, who: str = "", why: str = "") -> Json:
        """Let an alias stand for the model before; a second time, for the one before that.

        Raises:
            StoreError: there is none before, or its files are gone.
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
        """What an alias stood for, oldest first, the present last; what was rolled back is not in it."""
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
        """Keys of artifacts that aliases name, that a rollback needs, and of their ancestors and unmerged weights."""
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
        present = [records[name] for name in in_use if records[name]["here"]]
        return {record[part] for record in present for part in ("key", "trained") if record.get(part)}

    def _move(
        self,
        alias: str,
        model: str,
        action: Literal["promote", "rollback"],
        *,
        who: str,
        why: str,
        expected: str | None,
    ) -> Json:
        before = self.models.aliases().get(alias, "")
        move = {"at": now(), "action": action, "who": who or _user(), "why": why}
        self.models.move_alias(alias, model, expected=before if expected is None else expected, move=move)
        return {"alias": alias, "before": before, "after": model, **move}

    def _finished(self) -> Iterator[Json]:
        return (m for m in self.artifacts.list() if m["finished"] and m.get("kind") == "adapter")


def now() -> str:
    """The time for records, UTC, to the microsecond: lines keep their order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _facts(name: str, manifest: Json) -> Json:
    """What is known of a tuned model, kept beyond its files."""
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
