"""A caller of the project gets records whose fields have names and types, not objects of unknown shape."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from twofold.indexing.erasure import Eraser
from twofold.indexing.versions import Versions
from twofold.lifecycle.models import TunedModels
from twofold.plugins import protocols
from twofold.project import Project
from twofold.project.curation import Curation
from twofold.project.tuning import Tuning
from twofold.store.model_registry import Registry

OFFERED = (Project, Tuning, Curation, Versions, TunedModels, Registry, Eraser, protocols.Index, protocols.Exports)
"""Classes that a caller of `Project` meets, and protocols whose results reach such a caller."""
SHAPELESS = re.compile(r"Json|dict\[str, (Any|object)\]")


def results(cls: type) -> Iterator[tuple[str, str]]:
    """Public methods and properties of a class with the annotation of what they return."""
    for name, member in vars(cls).items():
        function: Any = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(function) and not name.startswith("_"):
            yield name, str(function.__annotations__.get("return", "nothing"))


@pytest.mark.parametrize("cls", OFFERED, ids=lambda cls: cls.__name__)
def test_every_result_is_a_record(cls: type) -> None:
    known = dict(results(cls))
    assert known
    assert {name: result for name, result in known.items() if SHAPELESS.search(result)} == {}
