"""Every entry point loads and keeps the conventions of plugins."""

from __future__ import annotations

import pytest

from twofold import plugins
from twofold.errors import ConfigError, MissingExtra, UnknownName

NAMED = [(kind, name) for kind in plugins.KINDS for name in plugins.names(kind)]


def test_every_kind_has_a_plugin() -> None:
    assert {kind for kind, _ in NAMED} == set(plugins.KINDS)


@pytest.mark.parametrize(("kind", "name"), NAMED)
def test_plugin(kind: plugins.Kind, name: str) -> None:
    found = plugins.find(kind, name)
    assert isinstance(found.version, int)
    assert found.version >= 1
    assert found.__doc__
    assert issubclass(found.Options, plugins.Options)
    assert found.Options.model_config.get("extra") == "forbid"
    assert found.Options.model_config.get("frozen") is True
    with pytest.raises(ConfigError, match="unknown key"):
        plugins.options(kind, name, {"no_such_option": 1})


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        plugins.find("metrics", "exact_macth")
    assert "exact_match" in caught.value.cure


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "hollow"

        def load(self) -> None:
            raise ModuleNotFoundError("No module named 'openvino'", name="openvino")

    monkeypatch.setattr(plugins.importlib.metadata, "entry_points", lambda **_: [Point()])
    with pytest.raises(MissingExtra) as caught:
        plugins.find("generators", "hollow")
    assert caught.value.cure == "pip install -e '.[local]' in the clone"
