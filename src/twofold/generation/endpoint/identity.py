"""What an endpoint says of the model that it serves, and by which program; and whether two endpoints serve the same.

Two servers that answer to the same name may have other weights behind it: the name is chosen by whoever starts them.
``GET /models`` of the OpenAI API lists more where the engine is known: vLLM the folder of the weights and the longest
context, llama.cpp the size of the model and of its file. vLLM tells its version at ``/version``, llama.cpp at
``/props``. What an endpoint does not say is empty, and compares with nothing.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import httpx

from twofold.types import Json

VLLM = "vllm"
LLAMA_CPP = "llama.cpp"
_ENGINES = {"vllm": VLLM, "llamacpp": LLAMA_CPP}
"""``owned_by`` in the list of models → name of the engine."""
PATIENCE = 5.0
"""Longest wait for such an answer, in seconds: it is a few hundred bytes that no model computes."""
_LARGEST = 8 * 2**20
"""Bytes above which an answer is broken off; the longest lists of hosted models have a tenth of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointModel:
    """A model as an endpoint lists it; empty or 0 where the endpoint does not say."""

    model: str = ""
    """The name by which requests ask for it."""
    root: str = ""
    """Last part of the path or of the hub's name of its weights: the folders above differ between machines."""
    parent: str = ""
    """The same of the base model, for a LoRA adapter."""
    context: int = 0
    """Longest prompt and answer, in tokens."""
    parameters: int = 0
    """Number of its weights."""
    size: int = 0
    """Bytes of its weights."""
    arithmetic: str = ""
    """Number format of its weights, such as ``Q4_K_M``."""
    engine: str = ""
    """The program that serves it, such as `VLLM`."""
    version: str = ""
    """The program's version."""

    @property
    def known(self) -> bool:
        """Does the endpoint say anything of the model beyond its name?"""
        return self != EndpointModel(model=self.model)

    @property
    def program(self) -> str:
        """Engine and version as one text, such as ``vllm 0.11.0``; empty where the endpoint does not say."""
        return f"{self.engine} {self.version}".strip()

    def to_json(self) -> Json:
        """The fields that the endpoint says."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, record: Json) -> EndpointModel:
        """Read what `to_json` wrote; fields of a later version are left out."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in names})


WEIGHTS = ("model", "root", "parent", "parameters", "size", "arithmetic")
"""Fields of `EndpointModel` that say which weights answer."""


def differences(first: EndpointModel, second: EndpointModel, *, only: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What two endpoints say differently of their models, in words; what one of them does not say is no difference.

    Args:
        first: The model that was measured, or that of the first endpoint.
        second: The other one.
        only: Fields to compare, such as `WEIGHTS`; empty: all.
    """
    before, now = first.to_json(), second.to_json()
    both = [name for name in before if name in now and (not only or name in only)]
    return tuple(f"{name} {now[name]!r} instead of {before[name]!r}" for name in both if now[name] != before[name])


def listed(listing: Any, model: str) -> EndpointModel | None:
    """The model in an answer of ``GET /models``; None where the list does not have it, or is none.

    llama.cpp serves a single model whatever name a request gives, so the single entry of its list is the model.

    Args:
        listing: The answer's JSON.
        model: The name that requests give.
    """
    rows = listing.get("data") if isinstance(listing, dict) else None
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    named = {str(row.get("id")): row for row in rows}
    row = named.get(model)
    if row is None and len(rows) == 1 and rows[0].get("owned_by") == "llamacpp":
        row = rows[0]
    if row is None:
        return None
    parent = named.get(_string(row.get("parent")), {})
    meta = row.get("meta") if isinstance(row.get("meta"), dict) else {}
    return EndpointModel(
        model=model,
        root=_last(row.get("root")),
        parent=_last(parent.get("root") or row.get("parent")),
        # an adapter has no limit of its own in vLLM's list
        context=_number(row.get("max_model_len") or parent.get("max_model_len") or meta.get("n_ctx")),
        parameters=_number(meta.get("n_params")),
        size=_number(meta.get("size")),
        arithmetic=_string(meta.get("ftype")),
        engine=_ENGINES.get(_string(row.get("owned_by") or parent.get("owned_by")), ""),
    )


def names(listing: Any) -> tuple[str, ...]:
    """The names in an answer of ``GET /models``, sorted; empty where it is no list."""
    rows = listing.get("data") if isinstance(listing, dict) else None
    rows = rows if isinstance(rows, list) else []
    return tuple(sorted(str(row["id"]) for row in rows if isinstance(row, dict) and row.get("id")))


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointReport:
    """What an endpoint answered when it was looked at."""

    alive: bool = False
    """It answers at all, whatever it says."""
    model: EndpointModel | None = None
    """The model; None where the endpoint lists none of that name, or does not list."""
    names: tuple[str, ...] = ()
    """The names that it lists."""
    reason: str = ""
    """Why it is not alive."""


def probed(client: httpx.Client, model: str, *, timeout: float = PATIENCE) -> EndpointReport:
    """Ask an endpoint what it serves; never raises for what the endpoint does.

    Args:
        client: With the endpoint's address, up to ``/v1``, and its key.
        model: The name that requests give.
        timeout: Longest wait for one answer, in seconds.
    """
    try:
        status, body = _fetched(client, "/models", timeout)
    except httpx.HTTPError as error:
        return EndpointReport(reason=f"{type(error).__name__}: {error}")
    # 501 is an endpoint without a list; any other such status one that is down, or a balancer with nothing behind it.
    if status >= 500 and status != 501:
        return EndpointReport(reason=f"it answers {status}")
    listing = _json(body) if status == 200 else None
    entry = listed(listing, model)
    if entry is not None and entry.engine:
        entry = replace(entry, version=_version(client, entry.engine, timeout))
    return EndpointReport(alive=True, model=entry, names=names(listing))


def _version(client: httpx.Client, engine: str, timeout: float) -> str:
    """The version that an engine tells, beside its API; empty where it does not."""
    path, name = ("/version", "version") if engine == VLLM else ("/props", "build_info")
    root = str(client.base_url).rstrip("/").removesuffix("/v1")
    try:
        status, body = _fetched(client, root + path, timeout)
    except httpx.HTTPError:
        return ""
    answer = _json(body) if status == 200 else None
    return _string(answer.get(name)) if isinstance(answer, dict) else ""


def _fetched(client: httpx.Client, path: str, timeout: float) -> tuple[int, bytes]:
    """Status and body of a small answer: one that does not end is broken off."""
    by, parts, size = time.monotonic() + timeout, [], 0
    with client.stream("GET", path, timeout=timeout) as response:
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > _LARGEST or time.monotonic() > by:
                raise httpx.ReadTimeout(f"the answer to {path} does not end", request=response.request)
    return response.status_code, b"".join(parts)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _last(value: Any) -> str:
    return _string(value).rstrip("/").rpartition("/")[2]
