"""What the page holds, read with an HTML parser."""

from __future__ import annotations

import base64
import copy
import functools
import gc
import hashlib
import json
import re

import pytest
import sample
import sample as samples
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from twofold.reports.explorer import OPEN_WITHOUT_SCRIPT, safe_json, segments
from twofold.reports.study_page import render, render_summary
from twofold.reports.tradeoffs import tradeoffs
from twofold.verdict.record import estimate_text

CASES = ["choose", "undecided", "none", "two arms", "one arm", "labels", "worldwide", "diagnosed", "400"]
SECTIONS = [
    "verdict",
    "table",
    "why",
    "arms",
    "pairs",
    "latency",
    "tradeoffs",
    "training",
    "causes",
    "questions",
    "failures",
    "bill",
]
ESTIMATE = re.compile(r"^−?\d?\.\d{3} \[−?\d?\.\d{3}, −?\d?\.\d{3}\]$|^−?1\.000 \[.*\]$")


def fresh(html: str) -> BeautifulSoup:
    """For a test that takes parts out."""
    # A page has so many parts that looking for unused ones takes as long as reading it.
    gc.disable()
    try:
        return BeautifulSoup(html, "html.parser")
    finally:
        gc.enable()


soup = functools.lru_cache(maxsize=16)(fresh)


def typeset(text: str) -> str:
    """As the page shows a sentence: a true minus, no back-ticks, one kind of space."""
    return " ".join(re.sub(r"(?<![\w\]-])-(?=\.?\d)|(?<= )-(?= )", "−", text).replace("`", "").split())


def words(node) -> str:
    return " ".join(node.get_text(" ").replace("\u00a0", " ").split())


@pytest.mark.parametrize("case", CASES)
def test_sections_stand_in_order(case, made) -> None:
    record, rows, html = made(case)
    page = soup(html)
    found = [s["id"] for s in page.select("main > section")]
    tuned = any(arm["training"] for arm in record["arms"].values())
    four = {"base", "rag", "ft", "ft+rag"} <= set(record["arms"])
    compared = tradeoffs(record, {})  # one quantity alone is no comparison
    without = {*([] if tuned else ["training"]), *([] if four else ["table"]), *([] if compared else ["tradeoffs"])}
    assert found == [s for s in [*SECTIONS, "details"] if s not in without]
    assert len(page.select("details.q")) == len(rows)
    assert html.count("<!doctype html>") == 1
    links = [a["href"][1:] for a in page.select("nav a")]
    assert set(links) <= {part["id"] for part in page.select("[id]")}


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_loaded_and_only_named_digests_may_run(case, made) -> None:
    html = made(case)[2]
    page = soup(html)
    assert not page.select("link, iframe, object, embed, form, base, img, video, audio, [src], [srcset], [style]")
    assert not [n for n in page.find_all(True) for key in n.attrs if key.startswith("on")]
    assert not [a["href"] for a in page.select("a[href]") if not a["href"].startswith("#")]
    policy = page.select_one("meta[http-equiv]")["content"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, rule in (("style", "style-src"), ("script:not([type])", "script-src")):
        (inside,) = page.select("head " + tag if tag == "style" else tag)
        digest = base64.b64encode(hashlib.sha256(inside.string.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy
    assert not re.search(r"@import|url\(", page.style.string)
    assert not re.search(
        r"fetch\(|XMLHttpRequest|import\(|innerHTML|eval\(", page.select_one("script:not([type])").string
    )


@pytest.mark.parametrize("case", CASES)
def test_numbers_are_spelled_one_way(case, made) -> None:
    page = fresh(made(case)[2])
    for part in page.select("#questions, #details, script, style"):
        part.decompose()
    text = words(page)
    assert re.findall(r"(?<![\d.])0\.\d+(?![\d.])", text) == []
    assert re.findall(r"(?<![\w-])-\.?\d|\w - \w", text) == []
    assert "`" not in text


def test_old_records_without_counts_times_and_headline_still_have_a_page(made) -> None:
    record, rows, _ = copy.deepcopy(made("choose"))
    del record["verdict"]["headline"]
    for arm in record["arms"].values():
        del arm["right"], arm["cut"], arm["timing"], arm["latency"]["intervals"]
        if arm["training"]:
            del arm["training"]["effort"]
    for row in rows:
        for answer in row["arms"].values():
            del answer["cut"]
    page = soup(render(record, rows))
    assert words(page.h1).startswith("Choose ft+rag: token F1 .")
    assert "unknown" in words(page.select_one("#training table"))
    assert "Choose ft+rag: token F1 ." in render_summary(record)


def test_the_weight_of_the_words_is_told(made) -> None:
    record, rows, html = copy.deepcopy(made("choose"))
    assert "Hybrid search" not in html
    row = {"weight": 0.3, "gain": 0.021, "error": 0.006}
    told = {"metric": "nDCG@10", "questions": 120, "groups": 80, "default": 0.5, "weight": 0.3, "weights": [row]}
    record["retrieval"]["words"] = told
    text = words(soup(render(record, rows)).select_one("#causes"))
    assert "Hybrid search: the words weigh .3, chosen on 120 train and dev questions in 80 groups" in text
    record["retrieval"]["words"] = {"weight": None, "why": "no train or dev question says which documents hold it"}
    assert "the words keep their default weight: no train" in words(soup(render(record, rows)).select_one("#causes"))


@pytest.mark.parametrize("case", CASES)
def test_every_mean_in_the_page_has_its_interval(case, made) -> None:
    record, _, html = made(case)
    page = fresh(html)
    printed = [words(node) for node in page.select(".est")]
    assert len(printed) >= sum(len(arm["metrics"]) for arm in record["arms"].values())
    assert all(ESTIMATE.match(one) for one in printed), [one for one in printed if not ESTIMATE.match(one)]
    estimates = [v for arm in record["arms"].values() for v in arm["metrics"].values()]
    estimates += [e["estimate"] for e in (*record["effects"], *record["comparisons"])]
    text = words(page)
    assert all(typeset(estimate_text(e)) in text for e in estimates)
    for part in page.select("#questions, #bill, #details, #training, script, style"):
        part.decompose()
    for node in page.select("svg .tick, svg title, svg desc"):
        node.decompose()
    rest = words(page)
    for plain in re.findall(r"(?<![\[\d.,±−])−?\d?\.\d{3}(?!\d)(?! \[)(?!,|\])", rest):
        assert re.search(rf"(p |than |under |up to |least |most |every |< |\d )\s*{re.escape(plain)}", rest), plain


def test_the_verdict_comes_first_with_policy_badge_doubts_and_looks(made) -> None:
    record, _, html = made("choose")
    verdict = soup(html).select_one("#verdict")
    texts = [words(node) for node in verdict.find_all(["p", "h1"], recursive=False)]
    assert texts[0] == "Choose: ft+rag"
    assert texts[1] == record["verdict"]["headline"]
    assert texts[2].startswith("Choose ft+rag: token F1 .")
    assert texts[3] == record["policy"]["sentence"]
    assert typeset(record["verdict"]["sentence"]).endswith(
        verdict.select_one(".numbers").get_text().replace("\u00a0", " ")
    )
    assert texts[4].startswith("How to read the intervals.")
    assert "the unit of the intervals" in texts[4]
    assert "looked at 2 times" in texts[5]
    doubts = [words(item) for item in verdict.select(".note li")]
    assert doubts == [typeset(d) for d in record["verdict"]["provisional"]] != []
    assert words(soup(made("none")[2]).select_one(".badge")) == "None acceptable"
    assert words(soup(made("undecided")[2]).select_one(".badge")) == "Undecided"


def test_the_table_of_four_cells(made) -> None:
    page = soup(made("choose")[2])
    cells = [words(td) for td in page.select(".cells tbody td")]
    assert [cell.split()[0] for cell in cells] == ["base", "ft", "rag", "ft+rag"]
    (won,) = page.select(".cells td.won")
    assert "chosen" in words(won)
    record = made("choose")[0]
    for cell, name in zip(cells, ("base", "ft", "rag", "ft+rag"), strict=True):
        assert "{} of {} right".format(*record["arms"][name]["right"]) in cell
    for case in ("two arms", "one arm"):
        assert not soup(made(case)[2]).select(".cells, a[href='#table']")


def test_failures_are_listed_and_counted(made) -> None:
    record, rows, html = made("none")
    failed = sum(1 for row in rows if row["arms"]["rag"]["failure"])
    listed = words(soup(html).select_one("#failures table"))
    assert f"rag {failed} generation.timeout no answer within 60 s (3 tries)" in listed
    row = next(tr for tr in soup(html).select("#arms tbody tr") if tr.th.get_text().startswith("rag"))
    assert words(row.select_one(".warn")) == str(failed)
    assert record["arms"]["rag"]["metrics"]["token_f1"]["n"] == len(rows) - failed
    assert "every arm answered every question" in words(soup(made("choose")[2]).select_one("#failures"))


def test_the_ledger_of_a_diagnosed_arm_stands_in_the_table_with_its_intervals_cures_and_re_runs(made) -> None:
    record, rows, html = made("diagnosed")
    page, arms = soup(html), list(record["arms"])
    diagnosis = samples.diagnosed(record, rows, ("rag", "base"))
    for arm in ("rag", "base"):
        for item in diagnosis["arms"][arm]["ledger"]:
            (row,) = [tr for tr in page.select("#causes table.stack tbody tr") if words(tr.th) == item["cause"]]
            share, low, high = (f"{100 * item[key]:.0f}" for key in ("share", "low", "high"))
            assert words(row.find_all("td")[arms.index(arm)]) == f"{item['count']} {share} [{low}, {high}] %"
            assert item["cure"].replace("`", "").replace(" ", "") in words(row).replace(" ", "")
    rest = next(tr for tr in page.select("#causes table.stack tbody tr") if words(tr.th) == "not diagnosed")
    assert words(rest.find_all("td")[arms.index("rag")]) == "2"
    linked = [a["href"][1:] for a in page.select("#causes tbody a")]
    assert linked
    assert all(page.find(id=link) for link in linked)
    assert "gold passage inserted, right, 1.000: <b>corn</b>" in words(page.select_one("details.trials"))
    assert "perfect retrieval .120 [.030, .200] 41 2 +12 unknown Improve the search. Effort: a setting." in words(
        page.select_one("#fixes-1 tbody")
    )
    # None was chosen here: of the arms that are left the one with the highest score comes first.
    scores = {name: arm["metrics"][record["metric"]]["mean"] for name, arm in record["arms"].items()}
    left = [name for name in scores if name not in ("rag", "base") and not record["arms"][name]["diagnostic"]]
    assert f"--arm {max(left, key=scores.__getitem__)} to find one for each" in words(page.select_one("#causes"))


def test_a_study_that_was_not_diagnosed_counts_what_it_saw_and_names_the_command(made) -> None:
    record, rows, html = made("choose")
    page, arms = soup(html), list(record["arms"])
    seen = {words(tr.th): tr.find_all("td") for tr in page.select("#causes table.stack tbody tr")}
    assert set(seen) <= {"failed", "at the limit", "declined", "wrong"}
    counts = [row["arms"]["rag"] for row in rows if (row["arms"]["rag"]["scores"]["token_f1"] or 0) < 0.5]
    assert sum(int(words(cells[arms.index("rag")]).replace("–", "0")) for cells in seen.values()) == len(counts)
    assert f"twofold diagnose --study {int(record['study'][:4])} --arm {record['verdict']['arm']}" in words(
        page.select_one("#causes")
    )
    # Nobody knows a cure yet, nor a share of what was diagnosed: no column stands empty, no sentence explains it.
    heads = [th.contents[0] for th in page.select("#causes table.stack thead th")]
    assert heads == ["cause", *arms]
    assert words(page.select_one("#causes caption")) == "Answers per cause and arm."


def test_causes_that_an_earlier_version_guessed_are_still_shown(made) -> None:
    record, rows, _ = copy.deepcopy(made("two arms"))
    row = {
        "arm": "rag",
        "cause": "retrieval-miss",
        "label": "the right document was not among the passages",
        "count": 3,
    }
    record["diagnosis"] = [
        row | {"share": 0.1, "low": 0.02, "high": 0.2, "examples": [rows[0]["id"]], "cure": "Raise k."}
    ]
    page = soup(render(record, rows))
    text = words(page.select_one("#causes"))
    assert "retrieval-miss – 3 2 to 20 % Raise k." in text
    assert "An earlier version guessed these causes from the words" in text


def test_bill_and_details_are_complete(made) -> None:
    record, _, html = made("choose")
    page = soup(html)
    assert [words(th) for th in page.select("#bill tbody th")] == [item["step"] for item in record["bill"]]
    text = words(page.select_one("#details"))
    for arm in record["arms"].values():
        assert arm["key"] in text
    for wanted in ("study.metric token_f1", "near 2", "version 4", "torch not installed"):
        assert wanted in text
    recall = estimate_text(record["retrieval"]["recall"])
    assert recall in words(page.select_one("#causes"))
    assert "oracle differs from rag by" in words(page.select_one("#causes"))


def test_hostile_text_stays_text(made) -> None:
    _, rows, html = made("worldwide")
    page = soup(html)
    assert len(page.find_all("script")) == 2
    assert not page.find_all("img")
    assert sample.HOSTILE not in html
    assert sample.HOSTILE in page.get_text()
    held = json.loads(page.select_one("#data").string)
    texts = {passage[4] for passage in held["passages"]}
    assert texts == {hit["text"] for row in rows for hit in row["arms"]["rag"]["hits"]}
    assert page.find(id='q=odd id "<&')


def test_each_distinct_passage_is_held_once_and_without_javascript_the_first_are_shown(made) -> None:
    _, rows, html = made("choose")
    page = soup(html)
    held = json.loads(page.select_one("#data").string)
    distinct = {(h["document"], h["start"], h["text"]) for r in rows for a in r["arms"].values() for h in a["hits"]}
    assert len(held["passages"]) == len(distinct)
    shown = page.select("details.q noscript")
    assert 0 < len(shown) <= OPEN_WITHOUT_SCRIPT
    by_id = {row["id"]: row for row in rows}
    marks = 0
    for box in shown:
        row = by_id[box.find_parent("details", class_="q")["id"][2:]]
        texts = {hit["text"] for answer in row["arms"].values() for hit in answer["hits"]}
        assert {body.get_text() for body in box.select(".body")} == texts
        quotes = {
            hit["text"][c["quote"][0] - hit["start"] : c["quote"][1] - hit["start"]]
            for answer in row["arms"].values()
            for c in answer["citations"]
            if c["quote"]
            for hit in answer["hits"]
            if hit["number"] == c["number"]
        }
        found = "".join(mark.get_text() for mark in box.select("mark"))
        assert all(quote in found for quote in quotes)
        marks += len(quotes)
    assert marks


def test_the_page_is_pure_and_keeps_its_size(made) -> None:
    record, rows, html = made("choose")
    before = copy.deepcopy((record, rows))
    assert render(record, rows) == html
    assert (record, rows) == before
    assert len(made("400")[2].encode()) < 3_000_000
    heavy = [
        {**row, "id": f"{row['id']}-{i}", "arms": copy.deepcopy(row["arms"])}
        for i, row in enumerate([*rows, *rows][:150])
    ]
    for number, row in enumerate(heavy):
        for answer in row["arms"].values():
            answer["text"] = answer["raw"] = f"{number} " + "word " * 40
            for hit in answer["hits"]:
                hit["text"] += f" {number} " + "more " * 150
    assert len(render(record, heavy).encode()) < 3_000_000


def test_what_is_left_out_for_size_is_told(made) -> None:
    record, rows, _ = made("two arms")
    long = copy.deepcopy(rows)
    for number, row in enumerate(long):
        row["arms"]["base"]["text"] = f"{number} " * 60_000
    page = soup(render(record, long))
    shown = len(page.select("details.q"))
    assert 0 < shown < len(long)
    assert f"The {len(long) - shown} questions with the least disagreement are left out" in words(page)


def test_without_questions_or_numbers_there_is_still_a_page(made) -> None:
    record = copy.deepcopy(made("two arms")[0])
    record.update(comparisons=[], retrieval={}, warnings=[], self_test=[], bill=[])
    for arm in record["arms"].values():
        arm.update(metrics={}, latency=None)
    text = words(soup(render(record, [])))
    for told in ("nothing to compare", "Latency was not measured", "There are no questions", "No answer was wrong"):
        assert told in text


@given(
    st.text(max_size=40),
    st.lists(st.tuples(st.integers(-3, 45), st.integers(-3, 45), st.sampled_from("abc")), max_size=6),
)
def test_segments_cover_exactly_the_quoted_characters(text, quotes) -> None:
    found = segments(len(text), quotes)
    flat = [at for start, end, _ in found for at in range(start, end)]
    assert flat == sorted(set(flat))
    for at in range(len(text)):
        wanted = {arm for start, end, arm in quotes if start <= at < end}
        assert {arm for start, end, arms in found if start <= at < end for arm in arms} == wanted


@given(
    st.recursive(
        st.text() | st.none() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_embedded_json_ends_no_element_and_reads_back(value) -> None:
    text = safe_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_arms_that_were_timed_on_fewer_questions_are_not_said_to_have_been_timed_on_all(made) -> None:
    record, rows, html = made("choose")
    [asked] = {arm["latency"]["n"] for arm in record["arms"].values() if arm["latency"]}
    assert f"measured on {asked} questions per arm" in words(soup(html).select_one("#latency"))
    slow = copy.deepcopy(record)
    slow["arms"]["base"]["latency"]["n"] = asked - 5
    shown = words(fresh(render(slow, rows)).select_one("#latency"))
    assert f"measured on {asked - 5} to {asked} questions per arm" in shown


def test_answers_that_cite_nothing_are_counted_only_where_an_arm_has_passages(made) -> None:
    record, rows, _ = copy.deepcopy(made("choose"))
    for arm in record["arms"].values():
        arm["uncited"] = [3, 9]
    assert "uncited" not in words(fresh(render(record, rows)).select_one("#arms table thead"))
    record["arms"]["rag"]["description"]["retrieval"] = {"k": 2}
    page = fresh(render(record, rows))
    assert "uncited" in words(page.select_one("#arms table thead"))
    assert {len(row.find_all(["th", "td"])) for row in page.select("#arms table")[0].find_all("tr")} == {
        len(page.select_one("#arms table thead tr").find_all("th"))
    }
