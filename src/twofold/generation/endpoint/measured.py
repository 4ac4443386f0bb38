"""The model that an endpoint served when it was first measured, stored with the project beside its name.

Answers are stored by the endpoint's name of the model. Who starts a server chooses that name, and may start it with
other weights later: the stored answers would go on as those of the new model. The file is advisory: a missing or
damaged file compares with nothing, and is written anew.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

from twofold.files import writing
from twofold.files.locking import locked
from twofold.generation.endpoint.identity import EndpointModel
from twofold.text.masking import masked_text
from twofold.types import Json

FILE = "endpoint_models.json"
"""Name of the file in the project's derived data."""
_FORMAT = 1
"""Raised when the file changes its form: a file of another form is not read."""
_log = logging.getLogger(__name__)


def known(path: Path, url: str, model: str) -> EndpointModel | None:
    """The model that was first measured at this address under this name; None where nothing is known of it.

    Args:
        path: The file.
        url: The address by which the answers are known.
        model: Name of the model at the endpoint.
    """
    record = _read(path).get(_name(url, model))
    return None if record is None else replace(EndpointModel.from_json(record), model=model)


def keep(path: Path, url: str, served: EndpointModel, *, upgraded: bool = False) -> None:
    """Store a model, unless one is stored under its name; safe while other processes do the same.

    Args:
        path: The file; created if missing.
        url: The address by which the answers are known.
        served: What the endpoint says of the model.
        upgraded: Store it in the place of one that another version of its engine served.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(path.with_suffix(".lock")):
            records = _read(path)
            if _name(url, served.model) in records and not upgraded:
                return
            records[_name(url, served.model)] = served.to_json()
            text = json.dumps({"format": _FORMAT, "models": records}, indent=1, sort_keys=True) + "\n"
            writing.write(path, text, shared=True)
    except OSError as error:
        _log.info("what %s serves cannot be stored, so a later command compares with nothing: %s", url, error)


def _name(url: str, model: str) -> str:
    return f"{model} at {masked_text(url.rstrip('/'))}"


def _read(path: Path) -> dict[str, Json]:
    """Name and address → the model; nothing where the file is missing, damaged or of another format."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            return {}
        # as strings and numbers: a field of another type would compare as a difference
        return {str(name): EndpointModel.from_json(record).to_json() for name, record in content["models"].items()}
    except OSError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        _log.warning("%s cannot be read: the endpoints' models are not compared with those measured before", path)
        return {}
