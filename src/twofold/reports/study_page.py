"""The report: one self-contained page, a summary for the terminal, and a picture of the verdict. Pure.

All three are made from the record alone. The page loads nothing: its style, script and data are inside, and its
content security policy names them by digest, so that nothing else in it can run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from twofold.diagnosis.record import DiagnosisRecord
from twofold.judge.record import JudgementRecord
from twofold.plugins.traits import place_of
from twofold.reports import charts, judged_by, styles, tradeoffs, why_wrong, word_weight
from twofold.reports.cost_section import cost_section
from twofold.reports.endpoint_lines import endpoint_lines, endpoint_rows
from twofold.reports.explorer import OPEN_WITHOUT_SCRIPT, explore, safe_json
from twofold.reports.forecast_lines import expected_title, forecast_lines
from twofold.reports.judged_lines import judge_section
from twofold.reports.latency_parts import divided, load_text, parts_table, quantile_text
from twofold.reports.linear_lines import linear_line
from twofold.reports.model_lines import model_lines, model_rows
from twofold.reports.prompt_lines import CAUTION, prompt_lines, prompt_tables
from twofold.reports.race_looks import race_looks
from twofold.reports.reproof_lines import reproof_lines, reproof_table
from twofold.reports.summary_tables import aligned, training_lines
from twofold.reports.training_plots import training_plots
from twofold.reports.training_runs import run_table, without_runs
from twofold.reports.tuning_lines import tuned_lines
from twofold.stats import intervals
from twofold.text.arm_names import model_of, models_of, of_model, without_model
from twofold.types import Json
from twofold.verdict.effort import effort_table
from twofold.verdict.evidence import RIGHT
from twofold.verdict.record import (
    AnswerRow,
    EffectRecord,
    EstimateRecord,
    StudyRecord,
    asked_text,
    counted,
    estimate_text,
    number_text,
    paid_text,
    plain_number,
    share_text,
    timed_failures,
    true_minus,
    turns_text,
)
from twofold.verdict.wording import metric_title, percent

if TYPE_CHECKING:
    import jinja2

CELLS = (("base", "ft"), ("rag", "ft+rag"))
"""Arms of the 2 × 2 table: rows without and with retrieval, columns base and tuned weights."""
_OUTCOMES = {"choose": "Choose", "undecided": "Undecided", "none acceptable": "None acceptable"}
"""Heading of the page by the verdict's outcome."""


def render(
    record: StudyRecord,
    answers: Sequence[AnswerRow],
    diagnosis: DiagnosisRecord | None = None,
    *,
    judgement: JudgementRecord | None = None,
) -> str:
    """The report as one HTML file that needs no network.

    Args:
        record: What ``study.json`` holds.
        answers: The lines of ``answers.jsonl.gz``.
        diagnosis: What ``diagnosis.json`` holds; None where the study was not diagnosed.
        judgement: What ``judgement.json`` holds; None where no judge was tried.
    """
    style, program = styles.of_reports(), script()
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            style=Markup(style),
            script=Markup(program),
            style_digest=_digest(style),
            script_digest=_digest(program),
            unreadable="",
            **_shown(record, answers, diagnosis, judgement),
        )
    )


def render_body(
    record: StudyRecord,
    answers: Sequence[AnswerRow],
    diagnosis: DiagnosisRecord | None = None,
    *,
    judgement: JudgementRecord | None = None,
    unreadable: str = "",
) -> str:
    """The report without a frame, for a page that brings the style sheet ``report`` and `script`.

    Args:
        record: What ``study.json`` holds.
        answers: The lines of ``answers.jsonl.gz``.
        diagnosis: What ``diagnosis.json`` holds; None where the study was not diagnosed.
        judgement: What ``judgement.json`` holds; None where no judge was tried.
        unreadable: Why a diagnosis that is there cannot be read, and the cure.
    """
    values = {**_shown(record, answers, diagnosis, judgement), "unreadable": unreadable}
    body = _environment().get_template("report_body.html.jinja").render(**values)
    return f'{body}<script type="application/json" id="data">{values["data"]}</script>'


def _tables(record: StudyRecord) -> list[Json]:
    """The 2 × 2 table of each model of which all four cells were measured."""
    tables: list[Json] = []
    # The table is about effects, which a race does not measure.
    for model in () if "race" in record else models_of(record["arms"]):
        cells = []
        for row in CELLS:
            cells.append([of_model(name, model) for name in row])
        if set(chain.from_iterable(cells)) <= set(record["arms"]):
            effects = [effect for effect in record["effects"] if model_of(effect["name"]) == model]
            title = f"Effects with {percent(record['level'])} intervals" + (f", {model}" if model else "")
            plot = _both(_effect_rows(record, effects), title=title, zero=True, wide=charts.HALF)
            tables.append({"model": model, "cells": cells, "effects": effects, "plot": plot})
    return tables


def script() -> str:
    """The script of the question explorer, and of the sliders of the section on cost."""
    return "\n".join(_source(_environment(), name) for name in ("report.js", "cost.js"))


def _shown(
    record: StudyRecord,
    answers: Sequence[AnswerRow],
    diagnosis: DiagnosisRecord | None,
    judgement: JudgementRecord | None,
) -> Json:
    """What the templates show."""
    runs = run_table(record)
    # Single training runs have a table of their own.
    record, answers = without_runs(record, answers)
    explorer = explore(record, answers, diagnosis)
    causes = why_wrong.why_wrong(record, answers, diagnosis)
    cost = cost_section(record)
    level = percent(record["level"])
    tables = _tables(record)
    return {
        "r": record,
        # The only data that script reads; `safe_json` leaves nothing in it that could end the element.
        "data": Markup(safe_json({**explorer["data"], "arms": list(record["arms"]), "cost": cost.get("data")})),
        "cost": cost,
        "explorer": explorer,
        "inline": OPEN_WITHOUT_SCRIPT,
        "outcome": _OUTCOMES.get(record["verdict"]["outcome"], record["verdict"]["outcome"]),
        "headline": record["verdict"].get("headline", ""),
        "sentence": _sentence(record),
        "metric": metric_title(record["metric"]),
        "right_from": record.get("right_from", RIGHT),
        "metrics": _metric_names(record),
        "judged_by": judged_by.lines(record),
        "linear": linear_line(record),
        "prompts": prompt_tables(record),
        "caution": CAUTION,
        "judge": judge_section(judgement),
        "asked_text": asked_text(record["policy"]),
        "paid": paid_text(record["bill"]),
        "level": level,
        "expected_title": expected_title(record["forecast"]) if "forecast" in record else "",
        "decided": percent(_decided_at(record)),
        "together": percent(_own_level(record)),
        "tables": tables,
        "table_arms": {name for table in tables for row in table["cells"] for name in row},
        "endpoints": endpoint_rows(record),
        "models": model_rows(record),
        "raced": race_looks(record),
        "edited": reproof_table(record),
        "efforts": effort_table(record["arms"]),
        "runs": runs,
        "batched": _batched_text(record),
        "least_p95": intervals.least_for_upper_end(0.95, level=_own_level(record)),
        "winner": record["verdict"]["arm"],
        "arms_plot": _both(
            _arm_rows(record),
            brief=_arm_rows(record, brief=True),
            title=f"Every arm: {metric_title(record['metric'])} with its {level} interval",
        ),
        "pairs_plot": _both(
            _effect_rows(record, record["comparisons"]),
            title=f"Paired differences, {'' if 'race' in record else 'simultaneous '}{level} intervals",
            zero=True,
        ),
        "latency": _latency(record),
        "curves": _curves(record),
        "causes": {**causes, "plot": _pair(*causes["plot"])},
        "tradeoffs": _tradeoffs(record, answers, cost),
        "gaps": why_wrong.oracle_gaps(record, answers),
        "settings": _flat(record["config"]),
        "bar": charts.interval_bar,
    }


def render_summary(record: StudyRecord) -> str:
    """The verdict, the arms' figures, effects, doubts and cost as plain text for a terminal."""
    # Single training runs have a table of their own.
    return _summary(without_runs(record)[0], run_table(record))


def _summary(record: StudyRecord, runs: Sequence[Sequence[str]]) -> str:
    verdict = record["verdict"]
    least = record.get("right_from", RIGHT)
    lines: list[str] = []
    for text in (verdict.get("headline", ""), _sentence(record), record["policy"]["sentence"].strip()):
        lines += [text, ""] if text else []
    names = _metric_names(record)
    arms = record["arms"]
    width = max(len(name) for name in [*arms, "arm"]) + 2
    # Three metrics a block, so that a line fits a terminal; n, failed and cut stand in the first.
    for start in range(0, max(1, len(names)), 3):
        block = names[start : start + 3]
        table = [["arm", *(metric_title(name) + (" (decides)" if name == record["metric"] else "") for name in block)]]
        table[0] += [*(["right"] if least is not None else []), "n", "failed", "cut"] if start == 0 else []
        for name, arm in arms.items():
            # Signs, not colours: the summary is piped into files and mails.
            mark = "*" if name == verdict["arm"] else "!" if not arm["acceptable"] else " "
            cells = [estimate_text(arm["metrics"][m]) if m in arm["metrics"] else "-" for m in block]
            if start == 0:
                estimate = arm["metrics"].get(record["metric"])
                cells += [_share(arm, "right")] if least is not None else []
                cells += [str(estimate["n"]) if estimate else "-", str(_failed(arm)), _share(arm, "cut")]
            table.append([f"{mark} {name}", *cells])
        lines += [*aligned(table, width), ""]
    legend = ["* chosen"] if verdict["arm"] else []
    legend += ["! not acceptable"] if any(not arm["acceptable"] for arm in arms.values()) else []
    legend += [f"{percent(record['level'])} intervals"]
    legend += [f"right: {metric_title(record['metric'])} of {plain_number(least)} or more"] if least is not None else []
    legend += ["cut: ended at the token limit"]
    judged = "; ".join(judged_by.lines(record))
    legend += [f"judged by passages: {judged}"] if judged else []
    lines += ["; ".join(legend), "", *_seconds_table(record, width), ""]
    lines += [*models, ""] if (models := model_lines(record)) else []
    if record["effects"]:
        table = [[f"effect, {percent(record['level'])} interval", "estimate", "p"]]
        table += [["  " + e["name"], estimate_text(e["estimate"]), _p_value(e["p"])] for e in record["effects"]]
        lines += [*aligned(table, width), ""]
    because = f"because ({percent(_decided_at(record))} intervals)"
    for title, items in ((because, verdict["because"]), ("provisional", verdict["provisional"])):
        if items:
            lines += [f"{title}:", *(f"  - {item}" for item in items), ""]
    lines += training_lines(arms, runs, width)
    lines += [*prompt_lines(record), *reproof_lines(record), *forecast_lines(record), *endpoint_lines(record)]
    lines += [f"beside the arms: {beside}", ""] if (beside := linear_line(record)) else []
    cached = sum(item["cached"] for item in record["bill"])
    total = sum(item["items"] for item in record["bill"])
    lines.append(
        f"bill: {_duration(record['seconds'])}, {counted(total, 'item')} ({cached} cached), "
        f"peak {record['peak_mib']:.0f} MiB" + (f"; {paid}" if (paid := paid_text(record["bill"])) else "")
    )
    return "\n".join(true_minus(line.rstrip()) for line in lines) + "\n"


def _batched_text(record: StudyRecord) -> str:
    """What the columns of seconds mean that were measured while the arms answered in batches."""
    # Who may not read what was measured is shown no descriptions.
    described = [arm["description"].get("generator") for arm in record["arms"].values()]
    if all(place_of(generator) == "in this process" for generator in described if generator):
        return "medians of the batched run"
    return (
        "medians of the batched run, a local model's generation as a share of its batch's seconds, an endpoint's as "
        "the whole wait of a request among those sent together"
    )


def verdict_picture(record: StudyRecord) -> str:
    """A standalone SVG: the verdict's first line over the arms' intervals in the deciding metric."""
    # A picture is passed on without its page: it says by itself what was measured, on which questions, at which level.
    caption = (
        f"{metric_title(record['metric'])}, {percent(record['level'])} intervals · {asked_text(record['policy'])} · "
        f"{record['project']}"
    )
    sentence = true_minus(record["verdict"].get("headline") or _sentence(record))
    record, _ = without_runs(record)
    return charts.picture(_arm_rows(record), sentence=sentence, caption=caption)


# ---------------------------------------------------------------- the template


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("twofold.reports", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,  # a misspelt name must fail a test, not leave a gap in a page
    )
    environment.filters.update(
        estimate=_estimate_html,
        title_of=metric_title,
        duration=_duration,
        p_value=_p_value,
        flip=_flip,
        typeset=_typeset,
        failed=_failed,
        number=lambda value: true_minus(plain_number(value)),
        signed=lambda value, digits=0: true_minus(f"{'+' if value > 0 else ''}{number_text(value, digits)}"),
        decimals=number_text,
        share=_share,
        quantile=quantile_text,
        counted=counted,
        count=lambda value: f"{value:,.0f}",
        score=_short,
        weight=lambda choice: re.sub(r"(?<![\d.])0(?=\.\d)", "", word_weight.sentence(choice)),
    )
    return environment


def _source(environment: jinja2.Environment, name: str) -> str:
    assert environment.loader is not None
    # Browsers read every line end as \n, and take the digest of that.
    return environment.loader.get_source(environment, name)[0].replace("\r\n", "\n").strip()


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# ---------------------------------------------------------------- words and numbers


def _metric_names(record: StudyRecord) -> list[str]:
    """The deciding metric first, then those that the settings name (they may have no value), then any others."""
    seen = list(chain.from_iterable(arm["metrics"] for arm in record["arms"].values()))
    parts = record["config"].get("study", {}).get("metrics", ())
    configured = [part if isinstance(part, str) else part["name"] for part in parts]
    return list(dict.fromkeys([record["metric"], *configured, *seen]))


def _sentence(record: StudyRecord) -> str:
    """The verdict's sentence without the split policy, which stands on a line of its own."""
    whole = record["verdict"]["sentence"].strip()
    policy = record["policy"]["sentence"].strip().rstrip(".")
    # The verdict's sentence begins with the policy; records of older versions may not.
    return whole[len(policy) :].lstrip(". ") if policy and whole.startswith(policy) else whole


def _decided_at(record: StudyRecord) -> float:
    return record.get("decided_at", record["level"])


def _own_level(record: StudyRecord) -> float:
    """The level of [study]: of all looks together, and of the intervals of seconds."""
    return float(record["config"].get("study", {}).get("level", record["level"]))


def _estimate_html(value: EstimateRecord) -> Markup:
    mean, interval = true_minus(estimate_text(value)).split(" ", 1)
    return Markup('<span class="est"><b>{}</b> <span class="ci">{}</span></span>').format(mean, interval)


def _typeset(text: str) -> Markup:
    """A sentence for the page: a true minus, no zero before a decimal point, names as code, estimates on one line."""
    # 0.123 → .123, but not within versions such as 1.0.3 or names.
    plain = re.sub(r"(?<![\d.\w])0(?=\.\d+(?![\d.]))", "", true_minus(str(text)))
    # A number and its sign stay on one line.
    plain = re.sub(r"(?<=\d) (?=%)|(?<=F1) (?=\.\d)", "\u00a0", plain)
    # Escaped before marks are added: texts of the record may hold markup of others.
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(plain)))
    return Markup(re.sub(r"[\u2212]?\d*\.\d+ \[[^\]]*\]", lambda match: f'<span class="nb">{match[0]}</span>', marked))


def _share(arm: Mapping[str, Any], key: str) -> str:
    """The count and the total that an arm's record holds under `key`; a dash where an older record has none."""
    if key not in arm:
        return "-"
    count, total = arm[key]
    return share_text(count, total) if key == "cut" and count else f"{count} of {total}"


def _seconds_table(record: StudyRecord, first: int) -> list[str]:
    """Seconds of every arm for the terminal, and what a missing end means."""
    table = [["seconds", "p50", "p95", "× base", "answers", "retrieval", "generation"]]
    for name, arm in record["arms"].items():
        pace = arm["latency"]
        timing = arm.get("timing", {})
        cells = [
            quantile_text(pace, "p50"),
            quantile_text(pace, "p95"),
            quantile_text(pace.get("ratio") if pace else None),
        ]
        cells.append(str(pace["n"]) if pace else "–")
        table.append(
            [f"  {name}", *cells, quantile_text(timing.get("retrieval")), quantile_text(timing.get("generation"))]
        )
    least = intervals.least_for_upper_end(0.95, level=_own_level(record))
    timed = {arm["latency"]["n"] for arm in record["arms"].values() if arm["latency"]}
    why = "answers: a slow arm is timed on fewer, for 20 seconds or a tenth of its answering time"
    failed = timed_failures(record["arms"])
    parts, load = parts_table(record), load_text(record)
    return [
        *aligned(table, first),
        *(aligned(parts, first) if parts else []),
        *([load] if load else []),
        *([why] if len(timed) > 1 else []),
        *([f"{counted(failed, 'failed answer')} among them: counted at the time limit"] if failed else []),
        f"{percent(_own_level(record))} intervals; p50, p95: one question at a time, {turns_text(record['arms'])}; "
        "× base: median ratio to the arm base; retrieval, "
        f"generation: {_batched_text(record)}; –: too few answers for an end (an upper end of p95 needs {least})",
    ]


def _short(value: float | None) -> str:
    if value is None:
        return "not scored"
    return number_text(value, 2).removesuffix(".00") or "0"


def _p_value(p: float | None) -> str:
    if p is None:
        return "-"
    return "< .001" if p < 0.001 else f"{p:.3f}".replace("0.", ".", 1)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{number_text(seconds, 1)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _flip(flip: Mapping[str, Any]) -> Markup:
    condition = str(flip["condition"])
    condition = _typeset(condition[:1].upper() + condition[1:])
    if flip["outcome"] == "choose":
        return Markup("{}: choose <b>{}</b>").format(condition, flip["arm"])
    return Markup("{}: <b>{}</b>").format(condition, flip["outcome"])


def _failed(arm: Mapping[str, Any]) -> int:
    return sum(failure["count"] for failure in arm["failures"])


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """A nested mapping as (dotted key, value) rows."""
    if isinstance(value, Mapping) and value:
        rows: list[tuple[str, str]] = []
        for key, item in value.items():
            rows += _flat(item, f"{path}.{key}" if path else str(key))
        return rows
    shown = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return [(path, shown)]


# ---------------------------------------------------------------- the pictures


def _both(
    rows: Sequence[charts.IntervalRow],
    *,
    title: str,
    brief: Sequence[charts.IntervalRow] = (),
    zero: bool = False,
    wide: int = charts.WIDE,
) -> Markup:
    """A chart for desktops and one for phones (with the `brief` rows, if any); the page shows the one that fits."""
    if not rows:
        return Markup("")
    # Both are in the page, and its style shows one: a page without script cannot measure its own width.
    drawn = [(rows, wide), (brief or rows, charts.NARROW)]
    return _pair(*(charts.interval_plot(shown, title=title, width=w, zero=zero) for shown, w in drawn))


def _pair(wide: str, narrow: str) -> Markup:
    return Markup(f'<div class="figure wide">{wide}</div><div class="figure narrow">{narrow}</div>')


def _kind(record: StudyRecord, name: str) -> str:
    arm = record["arms"][name]
    if name == record["verdict"]["arm"]:
        return "winner"
    return "muted" if arm["diagnostic"] or not arm["acceptable"] else "plain"


def _arm_rows(record: StudyRecord, *, brief: bool = False) -> list[charts.IntervalRow]:
    """A row for every arm, its label with the count of right answers; `brief` labels fit a phone."""
    rows = []
    for name, arm in record["arms"].items():
        value = arm["metrics"].get(record["metric"])
        if value is None:
            continue
        kind = _kind(record, name)
        note = " · chosen" if kind == "winner" else " · diagnostic" if arm["diagnostic"] else ""
        note = note or ("" if arm["acceptable"] else " · not acceptable")
        right = f" · {_share(arm, 'right')}" if "right" in arm else ""
        label = name + right if brief else f"{name}{right and f'{right} right'}{note}"
        rows.append(_row(value, label, kind=kind))
    return rows


def _effect_rows(record: StudyRecord, effects: Sequence[EffectRecord]) -> list[charts.IntervalRow]:
    section = record["config"].get("study", {})
    # An interaction is a difference of differences, and has a margin of its own.
    bands = {"interaction": float(section.get("interaction_margin", 0.0))}
    rows = []
    for effect in effects:
        band = bands.get(without_model(effect["name"]), record["margin"])
        rows.append(_row(effect["estimate"], effect["name"], band=band))
    return rows


def _row(value: EstimateRecord, label: str, *, kind: str = "plain", band: float = 0.0) -> charts.IntervalRow:
    ends = {"mean": value["mean"], "low": value["low"], "high": value["high"]}
    return charts.IntervalRow(
        label=true_minus(label), text=true_minus(estimate_text(value)), kind=kind, band=band, **ends
    )


def _latency(record: StudyRecord) -> Json:
    points, without = [], []
    for name, arm in record["arms"].items():
        value = arm["metrics"].get(record["metric"])
        pace = arm["latency"]
        if value is None or pace is None:
            without.append(name)
            continue
        points.append(
            charts.Point(
                label=name,
                p50=pace["p50"],
                p95=pace["p95"],
                mean=value["mean"],
                low=value["low"],
                high=value["high"],
                kind=_kind(record, name),
            )
        )
    metric = metric_title(record["metric"])
    axes = (
        (charts.WIDE, "seconds for one question (dot: p50, end of the dashed line: p95)", f"{metric}, with interval"),
        (charts.NARROW, "seconds (dot p50, dashed to p95)", metric),
    )
    drawn = []
    for width, x_axis, y_axis in axes:
        title = f"{metric} against latency"
        drawn.append(charts.scatter(points, title=title, width=width, x_axis=x_axis, y_axis=y_axis))
    sizes = [arm["latency"]["n"] for arm in record["arms"].values() if arm["latency"]]
    questions = counted(max(sizes, default=0), "question")
    if sizes and min(sizes) < max(sizes):
        # A slow arm is timed on fewer, see `study.latency`.
        questions = f"{min(sizes)} to {questions}"
    paces = {name: arm["latency"] for name, arm in record["arms"].items()}
    ratios = [f"{name} {quantile_text(pace['ratio'])}" for name, pace in paces.items() if pace and "ratio" in pace]
    turns = turns_text(record["arms"])
    parts = divided(record)
    return {
        "plot": _pair(*drawn) if points else "",
        "without": without,
        "asked": questions,
        "ratios": ratios,
        "turns": turns,
        "parts": {**parts, "plot": _pair(*parts["plot"]) if parts["plot"] else ""},
    }


def _tradeoffs(record: StudyRecord, answers: Sequence[AnswerRow], cost: Json) -> Json:
    sections = tradeoffs.drawn(record, answers, cost)
    return {
        "pictures": [{**picture, "pair": _pair(*picture["pair"])} for picture in sections["pictures"]],
        "curves": sections["curves"],
        "plot": Markup(sections["plot"]),
    }


def _curves(record: StudyRecord) -> list[Json]:
    out = []
    for name, arm in record["arms"].items():
        training = arm["training"]
        if not training:
            continue
        plots = training_plots(training, name=name, metric=record["metric"])
        out.append({"arm": name, "training": training, "plots": plots, "kept": tuned_lines(training)})
    return out
