"""A setting that a text for users names is there: who follows a cure finds the key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from twofold import config
from twofold.plugins import loading
from twofold.plugins.protocols import Kind

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"\[(?P<section>[a-z]+(?:\.[a-z]+)*)\]\.(?P<key>[a-z_]+)")
"""A setting as messages and pages write it, such as ``[study].margin``; the words in between are sections."""
OPTIONS: dict[str, Kind] = {
    "documents.chunker.options": "chunkers",
    "generation.generator.options": "generators",
    "retrieval.embedder.options": "embedders",
    "retrieval.index.options": "indexes",
    "retrieval.retriever.options": "retrievers",
    "tuning.embedder.options": "trainers",
    "tuning.trainer.options": "trainers",
}
"""Section of a plugin's options → the kind whose plugins may have the option."""
ENDINGS = {".py", ".html", ".js"}


def keys_of(model: Any) -> set[str]:
    """The keys that a section accepts, as `twofold.toml` spells them."""
    return {field.alias or name for name, field in model.model_fields.items()}


def known(section: str) -> set[str]:
    """Every key of a section; empty where there is no such section."""
    if section in OPTIONS:
        kind = OPTIONS[section]
        return {key for name in loading.names(kind) for key in keys_of(loading.find(kind, name).Options)}
    model: Any = config.Config
    for word in section.split("."):
        if word not in model.model_fields:
            return set()
        annotation = model.model_fields[word].annotation
        # A section that may be absent, such as [serving.oidc], and one of many, such as [sources.NAME], wrap the model.
        choices = get_args(annotation) if get_origin(annotation) is not None else (annotation,)
        model = next(
            (choice for choice in choices if isinstance(choice, type) and issubclass(choice, config.Section)), None
        )
        if model is None:
            return set()
    return keys_of(model)


def unknown(text: str) -> Iterator[str]:
    """The settings that a text names and no section has."""
    for match in NAMED.finditer(text):
        # Code has subscripts of that form, none of which is named like a section.
        section = match["section"].split(".")[0] in config.Config.model_fields
        if section and match["key"] not in known(match["section"]):
            yield match[0]


def test_a_key_that_no_section_has_is_seen() -> None:
    text = "Raise [tuning].max_length, [study].margin, [retrieval.nowhere].k or [serving.oidc].issuer."
    assert list(unknown(text)) == ["[tuning].max_length", "[retrieval.nowhere].k"]


def test_every_setting_that_a_text_names_is_one() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    # The notebook and the decisions are dated: they name the settings of their day.
    # The reference is written from the code, which is looked at as it is.
    pages = [
        page for page in pages if page.name != "notebook.md" and page.parent.name not in ("decisions", "reference")
    ]
    sources = [path for path in (ROOT / "src").rglob("*") if path.suffix in ENDINGS]
    faults = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (*pages, *sources)
        for name in unknown(path.read_text(encoding="utf-8"))
    ]
    assert faults == []
