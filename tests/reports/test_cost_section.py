"""The section on cost: the page says what `twofold cost` says, and its sliders work out the same in a real browser."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from twofold.costs.metering import opened
from twofold.costs.parts import scenario
from twofold.costs.prices import of_rows
from twofold.costs.report import costs_of
from twofold.reports.cost_lines import break_even_text, money
from twofold.reports.study_page import render
from twofold.settings.sections import CostsSection
from twofold.verdict.record import true_minus

CELLS = "[...document.querySelectorAll('#costs tbody tr')].map(r => [...r.children].slice(1).map(c => c.textContent))"
EVEN = "[...document.querySelectorAll('#even li')].map(l => l.textContent)"


@pytest.fixture
def page(tmp_path, made, browser):
    def put(name, **options):
        record, _, html = made(name)
        path = Path(tmp_path) / "report.html"
        path.write_text(html, encoding="utf-8")
        browser.errors.clear()
        browser.requests.clear()
        browser.open(path, **options)
        return record

    return put


def expected(record, **changes):
    """The table's cells and the lines on break-even, as the library works them out for another use."""
    prices = {**{row["item"]: row["amount"] for row in record["prices"]}, **changes.pop("prices", {})}
    rows = [{**row, "amount": prices[row["item"]]} for row in record["prices"]]
    section = CostsSection.model_validate({**record["config"]["costs"], **changes})
    study = opened(record["metered"], batched=section.batched)
    costs = costs_of("x", study, prices=of_rows(rows), scenario=scenario(section))
    cells = []
    for arm in costs["arms"].values():
        right = money(arm["per_right"]) if arm["per_right"] else arm["per_right_why"]
        texts = [money(arm["per_1000"]), right, money(arm["monthly"]), money(arm["monthly_with_risk"])]
        cells.append([*map(true_minus, texts), ", ".join(arm["monthly_with_risk"]["unknown"]) or "–"])
    return cells, [true_minus(break_even_text(pair)) for pair in costs["break_even"]]


def set_to(browser, name, value, kind="input"):
    browser.run(
        f"(() => {{const s = document.getElementById({json.dumps(name)}); s.value = {json.dumps(str(value))};"
        f"s.dispatchEvent(new Event('{kind}', {{bubbles: true}}))}})()"
    )


def test_the_page_without_script_says_what_the_library_says(made):
    for case in ("costs", "costs unknown"):
        record, _, html = made(case)
        soup = BeautifulSoup(html, "html.parser").select_one("#cost")
        cells, even = expected(record)
        shown = [[td.get_text() for td in row.find_all("td")] for row in soup.select("#costs tbody tr")]
        assert shown == cells
        assert [item.get_text() for item in soup.select("#even li")] == even
        assert len(soup.select("svg.curves-plot polyline")) == 2 * len(record["metered"]["arms"])
    assert "index" in shown[1][4]


@pytest.mark.parametrize(
    ("volume", "low", "high", "words"),
    [
        (0.3, 0.1, 0.9, "from the first answer on"),
        (0.3, 0.1, 40.0, "from the first answer on (not shown below 40)"),
        (0.3, 0.1, None, "from the first answer on (not shown beyond chance)"),
        (0.0, 0.0, 0.0, "from the first answer on"),
        (2.5, 0.3, 40.0, "from 2.5 [1, 40] on"),
        (2.5, 1.5, None, "from 2.5 [1.5, –] on; never is not ruled out"),
    ],
)
def test_no_break_even_is_at_a_part_of_an_answer(volume, low, high, words):
    pair = {"arm": "a", "other": "b", "outcome": "from", "unknown": [], "with_risk": False}
    assert break_even_text({**pair, "volume": volume, "low": low, "high": high}) == f"b costs less than a {words}"


def test_a_study_without_metered_amounts_has_no_such_section(made):
    assert 'id="cost"' not in made("choose")[2]


def test_a_study_without_intervals_or_prices_renders(made):
    record, rows, _ = made("costs")
    bare = copy.deepcopy(record)
    bare["metered"]["covariance"] = None
    bare["prices"] = []
    del bare["config"]["costs"]
    soup = BeautifulSoup(render(bare, rows), "html.parser").select_one("#cost")
    assert {td.get_text() for td in soup.select("[data-k=monthly]")} == {"unknown"}


@pytest.mark.parametrize("case", ["costs", "costs unknown", "costs of one at a time"])
def test_the_script_begins_with_the_same_figures(case, page, browser):
    record = page(case)
    cells, even = expected(record)
    assert browser.run("document.getElementById('use').hidden") is False
    assert browser.run(CELLS) == cells
    assert browser.run(EVEN) == even
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("file:", "about:"))] == []


def test_sliders_and_prices_work_out_what_the_library_works_out(page, browser):
    record = page("costs")
    before = browser.run("document.querySelector('#c-volume polyline').getAttribute('points')")
    set_to(browser, "u-volume", 6)
    set_to(browser, "u-updates", 7.5)
    set_to(browser, "u-retrainings", 0.25)
    set_to(browser, "u-utilisation", 0.4)
    use = {"volume": 1e6, "updates": 7.5, "retrainings": 0.25, "utilisation": 0.4}
    assert (browser.run(CELLS), browser.run(EVEN)) == expected(record, **use)
    set_to(browser, "u-serving", "hosted", "change")
    set_to(browser, "p-prompt_tokens", 3)
    set_to(browser, "p-index", "")
    set_to(browser, "p-person", -4)
    prices = {"prompt_tokens": 3.0, "index": None, "person": None}
    assert (browser.run(CELLS), browser.run(EVEN)) == expected(record, **use, serving="hosted", prices=prices)
    assert browser.run("document.querySelector('#c-volume polyline').getAttribute('points')") != before
    assert browser.run("document.getElementById('o-utilisation').textContent") == "40 %"
    browser.click("#u-reset")
    assert browser.run(CELLS) == expected(record)[0]
    # So dear that the first right answer pays for what is paid each month.
    set_to(browser, "p-wrong_answer", 9e9)
    assert browser.run(EVEN) == expected(record, prices={"wrong_answer": 9e9})[1]
    assert any("from the first answer on" in line for line in browser.run(EVEN))
    assert browser.errors == []


def test_sliders_say_their_value_and_every_field_has_a_label(page, browser):
    page("costs")
    assert browser.run("document.getElementById('u-volume').getAttribute('aria-valuetext')") == "5,000"
    names = browser.run(
        "[...document.querySelectorAll('#use input, #use select')]"
        ".map(i => document.querySelector(`label[for=${i.id}]`) !== null)"
    )
    assert all(names)


@pytest.mark.parametrize("width", [360, 390, 1200])
def test_the_section_fits_a_phone(width, page, browser):
    page("costs", width=width)
    outside = browser.run(
        "[...document.querySelectorAll('#cost *')].filter(n => n.getClientRects().length && !n.closest('svg'))"
        ".filter(n => n.getBoundingClientRect().right > innerWidth + 1).map(n => n.outerHTML.slice(0, 80))"
    )
    assert outside == []
    assert browser.run("document.documentElement.scrollWidth") == width


def test_axe_finds_no_fault_in_the_section(page, browser):
    program = (Path(__file__).resolve().parents[1] / "serving" / "pages" / "axe" / "axe.min.js").read_text("utf-8")
    for dark in (False, True):
        page("costs", dark=dark, width=390)
        browser.run(f"(() => {{ {program}; return 1 }})()")
        faults = browser.run(
            "axe.run('#cost').then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.target[0]).join(' ')]))"
        )
        assert faults == []
