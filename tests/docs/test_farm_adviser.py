"""The weather station of the worked case: its tool answers the case's questions about the weather, and no others."""

import importlib.util
import json
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from twofold.plugins.loading import make
from twofold.plugins.protocols import Tool
from twofold.settings.sections import ToolSection
from twofold.types import Filter

CASE = Path(__file__).parents[2] / "examples" / "farm-adviser"


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("weather_station", CASE / "weather_station.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def station() -> Iterator[int]:
    """The weather station on a free port."""
    module = _module()
    server = module.ThreadingHTTPServer(("127.0.0.1", 0), module.Station)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def _tool(scratch: Path, port: int) -> Tool:
    settings = tomllib.loads((CASE / "settings.toml").read_text("utf-8"))["tools"]["weather"]
    assert f":{_module().PORT}/" in settings["url"], "the station listens where the settings look for it"
    settings["url"] = settings["url"].replace(f":{_module().PORT}/", f":{port}/")
    section = ToolSection.model_validate(settings)
    return make(  # type: ignore[no-any-return]
        "tools",
        section.kind,
        section.options,
        name="weather",
        description=section.description,
        readers=None,
        root=scratch,
        scratch=scratch,
    )


def _questions() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CASE / "data" / "examples.jsonl").read_text("utf-8").splitlines()]


def test_the_station_s_reading_holds_the_answer_of_every_weather_question(tmp_path: Path, station: int) -> None:
    tool = _tool(tmp_path, station)
    live = [row for row in _questions() if row["id"].startswith("live-")]
    assert len(live) == 48
    for row in live:
        arguments = tool.arguments(row["question"])
        assert arguments is not None, row["question"]
        answer = tool.call(arguments, filter=Filter(), seconds=5)
        assert row["answers"][0] in answer.chunks[0].text, row["question"]


def test_no_other_question_goes_to_the_station(tmp_path: Path, station: int) -> None:
    tool = _tool(tmp_path, station)
    others = [row["question"] for row in _questions() if not row["id"].startswith("live-")]
    assert [question for question in others if tool.arguments(question) is not None] == []


def test_an_unknown_station_has_no_reading(tmp_path: Path, station: int) -> None:
    tool = _tool(tmp_path, station)
    assert tool.arguments("How much rain fell at Nowhere in the last 24 hours?") is None
