"""The page in a real browser: it opens, filters, highlights the right characters, and stays within a phone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twofold.reports.explorer import disagreement

SIZES = [(360, 700), (390, 844), (768, 1024), (1440, 900)]


@pytest.fixture
def page(tmp_path, made, browser):
    def put(name, **options):
        record, rows, html = made(name)
        path = Path(tmp_path) / "report.html"
        path.write_text(html, encoding="utf-8")
        browser.errors.clear()
        browser.requests.clear()
        browser.open(path, **options)
        return record, rows

    return put


def quoted(row):
    """(arm, citation, hit) of the citations with a quote."""
    for arm, answer in row["arms"].items():
        for citation in answer["citations"]:
            if citation["quote"]:
                yield arm, citation, next(h for h in answer["hits"] if h["number"] == citation["number"])


def test_a_click_opens_a_question_and_marks_exactly_the_quoted_characters(page, browser) -> None:
    _, rows = page("worldwide")
    checked = 0
    for row in rows[:4]:
        selector = f"[id={json.dumps('q=' + row['id'])}]"
        browser.click(f"{selector} > summary")
        assert browser.run(f"document.querySelector({json.dumps(selector)}).open") is True
        for arm, citation, hit in quoted(row):
            start, end = (edge - hit["start"] for edge in citation["quote"])
            marks = browser.run(
                f"[...document.querySelectorAll({json.dumps(selector + ' mark')})].map(m => [m.title, m.textContent])"
            )
            assert [f"quoted by {arm}", hit["text"][start:end]] in marks
            checked += 1
        bodies = browser.run(
            f"[...document.querySelectorAll({json.dumps(selector + ' .body')})].map(b => b.textContent)"
        )
        assert bodies == [h["text"] for h in row["arms"]["rag"]["hits"]]
    assert checked == 4
    assert browser.run("document.title") != "owned"
    assert browser.run("document.querySelectorAll('main img, main script').length") == 0
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("file:", "about:"))] == []


def test_an_address_opens_its_question_and_citations_lead_to_passages(page, browser) -> None:
    _, rows = page("choose")
    row = next(r for r in rows if list(quoted(r)))
    page("choose", hash_=f"#q={row['id']}")
    selector = f"details[id='q={row['id']}']"
    assert browser.run(f'document.querySelector("{selector}").open') is True
    targets = browser.run(
        f'[...document.querySelectorAll("{selector} a.cite")].map(a => !!document.getElementById(a.hash.slice(1)))'
    )
    assert targets
    assert all(targets)
    assert browser.errors == []


def test_filters_count_what_the_record_says(page, browser) -> None:
    record, rows = page("diagnosed")
    metric, names = record["metric"], list(record["arms"])
    count = "document.querySelectorAll('details.q:not([hidden])').length"

    def choose(selector, value):
        browser.run(
            f"(() => {{const s = document.querySelector({json.dumps(selector)}); s.value = {json.dumps(value)};"
            "s.dispatchEvent(new Event(s.tagName === 'INPUT' ? 'input' : 'change'))})()"
        )

    assert browser.run(count) == 50 < len(rows)
    assert browser.run("document.getElementById('shown').textContent").endswith(", the first 50 shown")
    browser.click("#more")
    assert browser.run(count) == len(rows)
    choose(f"select[data-arm='{names.index('ft+rag')}']", "right")
    choose(f"select[data-arm='{names.index('rag')}']", "failed")
    right = [r for r in rows if (r["arms"]["ft+rag"]["scores"][metric] or 0) >= 0.5 and r["arms"]["rag"]["failure"]]
    assert browser.run(count) == len(right) > 0
    assert browser.run("document.getElementById('shown').textContent") == f"{len(right)} of {len(rows)} questions"
    browser.click("#clear")
    assert browser.run(count) == len(rows)
    choose("#cause", "failure")
    assert browser.run(count) == sum(1 for r in rows if r["arms"]["rag"]["failure"])
    browser.click("#clear")
    word = rows[7]["question"]
    choose("#search", word.upper())
    wanted = sum(
        1
        for r in rows
        if any(
            word.lower() in t.lower()
            for t in (r["question"], *r["references"], *(a["text"] for a in r["arms"].values()))
        )
    )
    assert browser.run(count) == wanted >= 1
    assert browser.errors == []


def test_questions_stand_in_order_of_disagreement(page, browser) -> None:
    record, rows = page("choose")
    names = [n for n, arm in record["arms"].items() if not arm["diagnostic"]]
    by_id = {row["id"]: disagreement(row, record["metric"], names) for row in rows}
    shown = browser.run("[...document.querySelectorAll('details.q')].map(q => q.id.slice(2))")
    spreads = [by_id[name] for name in shown]
    assert spreads == sorted(spreads, reverse=True)
    assert len(set(shown)) == len(rows)


@pytest.mark.parametrize("case", ["choose", "worldwide", "none", "labels"])
def test_no_page_scrolls_sideways(case, page, browser) -> None:
    page(case)
    browser.run(
        "document.querySelectorAll('details').forEach((d, i) => { if (i < 40 || !d.closest('.q')) d.open = true })"
    )
    for width, height in SIZES:
        browser.resize(width, height)
        seen = browser.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert seen[0] <= seen[1] == width


@pytest.mark.parametrize("width", [390, 1200])
def test_a_table_that_is_wider_than_its_card_says_so_until_its_end_is_seen(width, page, browser) -> None:
    page("choose, diagnosed", width=width)
    boxes = browser.run(
        "[...document.querySelectorAll('section > div > .scroll')].map(b => [b.scrollWidth > b.clientWidth + 1,"
        "b.previousElementSibling.getClientRects().length > 0, b.getAttribute('aria-label')])"
    )
    assert all(wide == cue for wide, cue, _ in boxes)
    wider = {name for wide, _, name in boxes if wide}
    assert wider == (set() if width == 1200 else wider | {"Scores of all arms"})
    assert "Causes and cures" not in wider
    cures = browser.run(
        "[...document.querySelectorAll('#causes td.words:not(.zero)')].map(c => c.getBoundingClientRect())"
        ".map(b => [b.left, b.right])"
    )
    assert cures
    assert all(0 <= left < right <= width for left, right in cures)
    if width == 390:
        browser.run("document.querySelector('#arms .scroll').scrollLeft = 9999")
        ended = "document.querySelector('#arms .scroll').parentNode.classList.contains('end')"
        assert browser.run(f"new Promise(done => setTimeout(() => done({ended}), 200))") is True


ROWS = """
[...document.querySelectorAll('svg.intervals g.row')].filter(g => g.getClientRects().length).map(g => {
  const [label, value] = ['.label', '.value'].map(name => g.querySelector(name).getBoundingClientRect());
  const marks = [...g.querySelectorAll('.dot, .whisker')].map(m => m.getBoundingClientRect());
  const frame = g.closest('svg').getBoundingClientRect();
  return [frame.left <= label.left, value.right <= frame.right,
    ...marks.map(m => m.top >= value.bottom - 1 || m.right + 3 < value.left),
    ...marks.map(m => m.top >= label.bottom - 1 || label.right + 3 < m.left)];
})
"""


@pytest.mark.parametrize("width", [390, 1200])
def test_no_mark_touches_its_label_or_its_value_also_at_the_ends_of_the_scale(width, page, browser) -> None:
    page("all right", width=width)
    rows = browser.run(ROWS)
    assert len(rows) > 5
    assert all(all(row) for row in rows)


CONTRAST = """
(() => {
  const number = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4 }); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
  const found = [];
  document.querySelectorAll('details').forEach((d, i) => { if (i < 40 || !d.closest('.q')) d.open = true });
  for (const node of document.querySelectorAll('body *')) {
    if (!node.getClientRects().length || node.closest('noscript, svg, .skip')) continue;
    if (![...node.childNodes].some(c => c.nodeType === 3 && c.textContent.trim())) continue;
    let at = node, back = [0, 0, 0, 0];
    while (at) { back = number(getComputedStyle(at).backgroundColor);
      if (back.length < 4 || back[3] > 0) break; at = at.parentElement; }
    const a = light(number(getComputedStyle(node).color)), b = light(back);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(node.className + ': ' + node.textContent.slice(0, 30) + ' ' + ratio.toFixed(2));
  }
  return found;
})()
"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("case", ["none", "undecided"])
def test_text_has_contrast(case, dark, page, browser) -> None:
    page(case, dark=dark)
    assert browser.run(CONTRAST) == []
    assert browser.run("matchMedia('(prefers-color-scheme: dark)').matches") is dark
