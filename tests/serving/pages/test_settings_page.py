"""The page Settings: every value in force, its origin, and no secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import browsing
import pytest
from playwright.sync_api import expect
from serving_process import Running

from twofold.config import FILE
from twofold.errors import ConfigError
from twofold.project import Project
from twofold.serving.pages import settings

Window = Callable[..., browsing.Watched]


def rows(project: Project) -> dict[str, settings.SettingRow]:
    every = {}
    for section, listed in settings.by_section(project).items():
        every |= {f"{section}.{row.key}": row for row in listed}
    return every


def test_every_value_has_its_origin(project_copy: Path) -> None:
    with Project.open(project_copy, {"study": {"margin": 0.5}}) as project:
        shown = rows(project)
    assert (shown["study.margin"].value, shown["study.margin"].origin) == ("0.5", "--set")
    assert shown["retrieval.embedder.name"].origin == FILE
    assert shown["serving.queue"].origin == "default"


def test_what_the_file_says_since_is_shown_beside_what_is_in_force(project_copy: Path) -> None:
    file = project_copy / FILE
    with Project.open(project_copy) as project:
        file.write_text(file.read_text(encoding="utf-8") + "\n[serving]\nqueue = 7\n", encoding="utf-8")
        row = rows(project)["serving.queue"]
        assert (row.value, row.changed) == (str(project.config.serving.queue), "7")
        assert not rows(project)["serving.grace"].changed
        file.write_text("nothing = {", encoding="utf-8")
        with pytest.raises(ConfigError):
            settings.by_section(project)
        values = settings.by_section(project, read=False)["serving"]
    assert {row.origin for row in values} == {""}


def test_a_plugin_that_is_not_installed_hides_only_what_is_its_own(project_copy: Path) -> None:
    with (project_copy / FILE).open("a", encoding="utf-8") as file:
        file.write('\n[tuning.trainer]\nname = "gone"\n')
    with Project.open(project_copy) as project:
        with pytest.raises(ConfigError, match="unknown trainer 'gone'"):
            settings.by_section(project)
        shown = settings.by_section(project, read=False)
    assert "queue" in [row.key for row in shown["serving"]]
    assert [row.value for row in shown["tuning"] if row.key == "trainer.name"] == ['"gone"']


def test_secrets_are_masked_and_variables_only_named(project_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "tf-secret-of-mine")
    file = project_copy / FILE
    text = file.read_text(encoding="utf-8").replace('name = "echo"', 'name = "openai"')
    source = '[sources.shop]\nkind = "http"\nurl = "https://user:hunter2@shop.example/items"\n'
    options = '[generation.generator.options]\nmodel = "m"\nbase_url = "http://localhost:1"\napi_key_env = "SOME_KEY"\n'
    file.write_text(text.replace("[study]", f"{options}[study]"), encoding="utf-8")
    with Project.open(project_copy) as project:
        row = rows(project)["generation.generator.options.api_key_env"]
        assert (row.value, row.variable) == ('"SOME_KEY"', "environment: set")
        monkeypatch.delenv("SOME_KEY")
        assert rows(project)["generation.generator.options.api_key_env"].variable == "environment: not set"
    file.write_text(text.replace('name = "openai"', 'name = "echo"') + source, encoding="utf-8")
    with Project.open(project_copy) as project:
        every = " ".join(row.value for row in rows(project).values())
    assert "shop.example/items" in every
    assert "hunter2" not in every


def test_only_what_somebody_set_can_be_asked_for(window: Window) -> None:
    page = window().open("/settings")
    everything = page.locator("tbody tr").count()
    page.get_by_role("link", name="Only what somebody set").click()
    expect(page.locator("tbody tr", has_text=re.compile("default$"))).to_have_count(0)
    assert 0 < page.locator("tbody tr").count() < everything
    expect(page.locator("h2")).to_contain_text(["documents", "examples"])


def test_the_page_needs_no_script(server: Running) -> None:
    with server.client() as client:
        text = client.get("/settings", headers={"accept": "text/html"}).text
    assert "<code>embedder.name</code>" in text
