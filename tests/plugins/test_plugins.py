"""Every entry point loads and keeps the conventions of plugins."""

from __future__ import annotations

import pytest

from twofold.errors import ConfigError, MissingExtra, UnknownName
from twofold.plugins import loading, protocols

NAMED = [(kind, name) for kind in protocols.KINDS for name in loading.names(kind)]


def test_every_kind_has_a_plugin() -> None:
    assert {kind for kind, _ in NAMED} == set(protocols.KINDS)


@pytest.mark.parametrize(("kind", "name"), NAMED)
def test_plugin(kind: protocols.Kind, name: str) -> None:
    found = loading.find(kind, name)
    assert isinstance(found.version, int)
    assert found.version >= 1
    assert found.__doc__
    assert issubclass(found.Options, protocols.Options)
    assert found.Options.model_config.get("extra") == "forbid"
    assert found.Options.model_config.get("frozen") is True
    with pytest.raises(ConfigError, match="unknown key"):
        loading.options(kind, name, {"no_such_option": 1})


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName) as caught:
        loading.find("metrics", "exact_macth")
    assert "exact_match" in caught.value.cure


class Hollow:
    """An entry point whose module needs another that is not there."""

    name = "hollow"

    def __init__(self, module: str, lacks: str) -> None:
        self.module, self._lacks = module, lacks

    def load(self) -> None:
        raise ModuleNotFoundError(f"No module named {self._lacks!r}", name=self._lacks)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_points", lambda _: (Hollow("twofold.generation.hollow", "openvino.runtime"),))
    with pytest.raises(MissingExtra) as caught:
        loading.find("generators", "hollow")
    assert caught.value.cure == "pip install -e '.[local]' in the clone"


def test_a_plugin_of_somebody_else_that_lacks_a_package_is_not_cured_by_an_extra_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "_points", lambda _: (Hollow("acme_search.hollow", "acme_client.http"),))
    with pytest.raises(MissingExtra, match="needs the package 'acme_client'") as caught:
        loading.find("retrievers", "hollow")
    assert caught.value.cure == (
        "Install the package that has the module 'acme_client', as the documentation of 'acme_search' says."
    )


def test_a_plugin_of_somebody_else_that_lacks_a_package_when_it_is_made_is_told_the_same() -> None:
    class Late:
        Options = protocols.Options
        version = 1

        def __init__(self, options: protocols.Options) -> None:
            raise ModuleNotFoundError("No module named 'acme_client'", name="acme_client")

    Late.__module__ = "acme_search.late"
    with loading.registered("retrievers", "late", Late), pytest.raises(MissingExtra) as caught:
        loading.make("retrievers", "late", {})
    assert "'acme_search'" in caught.value.cure


def test_a_module_of_the_plugin_itself_that_is_missing_is_a_fault_of_the_plugin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "_points", lambda _: (Hollow("acme_search.hollow", "acme_search.lost"),))
    with pytest.raises(ModuleNotFoundError, match="acme_search"):
        loading.find("retrievers", "hollow")
