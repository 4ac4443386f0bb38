"""The program that answers at an endpoint, as part of what was measured: another version of vLLM is another system.

Where an endpoint says what it runs (`identity`), the key of its answers names engine and version: after an upgrade a
study measures anew, and a server does not serve as measured what now answers otherwise. An endpoint that says nothing
keeps its key. What was seen last is stored (`measured`): while the endpoint is down, its answers keep their key.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import httpx

from twofold.generation.endpoint import measured
from twofold.generation.endpoint.identity import WEIGHTS, EndpointModel, differences, probed

_log = logging.getLogger(__name__)


class Program:
    """What one endpoint runs, asked for once, when it is first needed.

    Args:
        client: Connected to the endpoint, up to ``/v1``.
        models: Names of the untuned model there and, where one was tuned here, of that: the first listed counts, as a
            tuned one may be loaded later, or be served alone.
        url: The address by which the answers are known.
    """

    def __init__(self, client: httpx.Client, models: Iterable[str], url: str) -> None:
        self._client, self._models, self._url = client, tuple(models), url
        self._path: Path | None = None
        self._name: str | None = None

    def remember(self, path: Path) -> None:
        """Ask the endpoint from now on, and store what it says in `path`, the file of `measured`."""
        self._path = path

    @property
    def name(self) -> str:
        """Engine and version, such as ``vllm 0.32.0``; empty where the endpoint names no engine, or was not asked."""
        if self._path is None:
            return ""
        if self._name is None:
            self._name = self._probed(self._path)
        return self._name

    def _probed(self, path: Path) -> str:
        for model in self._models:
            before = measured.known(path, self._url, model)
            seen = probed(self._client, model)
            if not seen.alive:
                return _named(before)
            if seen.model is None:
                continue
            # Other weights are refused before the first prompt, and are not to replace those that were measured.
            if before and differences(before, seen.model, only=WEIGHTS):
                return _named(seen.model)
            if changed := before is not None and _named(before) != _named(seen.model):
                _log.warning(
                    "%s runs %s, and %s before: as another system its answers are measured anew",
                    self._url, _named(seen.model), _named(before) or "another program",
                )  # fmt: skip
            if seen.model.engine:
                measured.keep(path, self._url, seen.model, upgraded=changed)
            return _named(seen.model)
        return ""


def _named(model: EndpointModel | None) -> str:
    return model.program if model is not None and model.engine else ""
