"""People sign in with a key, see what it opens to them, and sign out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import browsing
import pytest
from oidc_stand_in import AUDIENCE, CLIENT, SECRET, OidcProvider
from playwright.sync_api import Page, expect
from serving_process import Running, served

from twofold.serving.keys import KEYS, Keys

Window = Callable[..., browsing.Watched]


@pytest.fixture(scope="module")
def keys(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Keys:
    directory = Path(shutil.copytree(measured, tmp_path_factory.mktemp("signing") / "p"))
    return Keys(directory / KEYS)


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    """Knows Ann, who may ask."""
    started = OidcProvider()
    started.claims = {"scope": "read"}
    yield started
    started.close()


@pytest.fixture(scope="module")
def keyed(keys: Keys, provider: OidcProvider) -> Iterator[Running]:
    """A server that needs a key, or whoever the provider knows."""
    keys.add("first", scope="admin")
    directory = Path(str(keys.place)).parents[1]
    settings = f"""
[serving.oidc]
issuer = "{provider.issuer}"
audience = "{AUDIENCE}"
client_id = "{CLIENT}"
client_secret_env = "TWOFOLD_TEST_SECRET"
scope_claim = "scope"
scopes = {{ "read" = "ask" }}
"""
    with (directory / "twofold.toml").open("a", encoding="utf-8") as file:
        file.write(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWOFOLD_TEST_SECRET", SECRET)
        with served(directory, "--unmeasured") as running:
            yield running


def enter(page: Page, token: str) -> None:
    page.get_by_label("API key").fill(token)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_a_page_asks_for_a_key_and_then_goes_on(window: Window, keyed: Running, keys: Keys) -> None:
    _, token = keys.add("ann")
    view = window(keyed.url)
    page = view.open("/ask")
    expect(page.locator("h1")).to_have_text("Sign in")
    assert "project" not in page.content()  # nothing is said of what is served
    assert view.violations() == []
    enter(page, "tf-nobody-nothing")
    expect(page.locator(".notice.bad")).to_contain_text("unknown, expired or revoked")
    assert view.violations() == []
    enter(page, token)
    expect(page).to_have_url(f"{keyed.url}/ask")
    expect(page.locator(".session bdi")).to_have_text("ann")
    expect(page.locator("#first option")).to_have_text(["rag"])
    page.fill("#question", "What does parking cost?")
    page.press("#question", "Enter")
    expect(page.locator(".said")).to_contain_text("4 euros")
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("h1")).to_have_text("Sign in")
    view.open("/ask")
    expect(page.locator("h1")).to_have_text("Sign in")
    enter(page, token)
    expect(page.locator(".turn")).to_have_count(0)  # whoever sits here next reads nothing of it


def test_a_key_opens_what_it_may_do(window: Window, keyed: Running, keys: Keys) -> None:
    _, asks = keys.add("reader")
    _, rules = keys.add("ruler", scope="admin")
    page = window(keyed.url).open("/settings")
    enter(page, asks)
    expect(page).to_have_url(f"{keyed.url}/settings")
    expect(page.locator("h1")).to_have_text("You may not see this")
    page.goto(f"{keyed.url}/ask")
    assert "Settings" not in page.locator(".pages").inner_text()
    other = window(keyed.url).open("/settings")
    enter(other, rules)
    expect(other.locator("h1")).to_have_text("Settings")


def test_a_key_that_ends_is_said_where_the_question_was_asked(window: Window, keyed: Running, keys: Keys) -> None:
    key, token = keys.add("guest")
    page = window(keyed.url).open("/ask")
    enter(page, token)
    expect(page.locator("#first option")).to_have_text(["rag"])
    keys.revoke(key.id)
    page.fill("#question", "What does parking cost?")
    page.press("#question", "Enter")
    expect(page.locator(".notice.bad .title")).to_have_text("You are signed out")
    page.get_by_role("link", name="Sign in").click()
    expect(page.locator("h1")).to_have_text("Sign in")


def test_an_account_of_the_provider_signs_in(window: Window, keyed: Running, provider: OidcProvider) -> None:
    view = window(keyed.url)
    page = view.open("/documents")
    page.get_by_role("link", name="Sign in with your account").click()
    expect(page).to_have_url(f"{keyed.url}/documents")
    expect(page.locator(".session bdi")).to_have_text("ann")
    assert view.errors.pop().startswith(f"a request to another host: {provider.issuer}/authorize?")
    provider.claims = {"scope": "nothing"}
    other = window(keyed.url)
    page = other.open("/login")
    page.get_by_role("link", name="Sign in with your account").click()
    expect(page.locator(".notice.bad")).to_contain_text("nothing here is open to you")
    other.errors.clear()


def test_without_keys_nobody_signs_in(window: Window) -> None:
    page = window().open("/login?next=/settings")
    page.get_by_role("link", name="Go on").click()
    expect(page.locator("h1")).to_have_text("Settings")
