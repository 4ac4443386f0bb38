"""`twofold bench retrieval` on a real index: variants, stages, questions without labels, warnings."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from twofold.cli.bench import parse_variant
from twofold.cli.main import main
from twofold.config import Config
from twofold.errors import ConfigError, StudyError, TooFewExamples
from twofold.examples.questions import Questions
from twofold.project import Project
from twofold.settings.loading import laid_over
from twofold.study import looks
from twofold.study.retrieval.ablation import ablate, stages
from twofold.study.retrieval.benchmark import Rules, chosen, labelled, learned_train, opened
from twofold.types import Json

RULES = Rules(latency=3, resamples=300)
PARTS = ["--set", "retrieval.embedder.name=hashing", "--set", "study.resamples=300"]


def test_variants_differ_from_the_project_by_pairs(project: Project) -> None:
    with project:
        told = project.bench({"words": {"retrieval": {"retriever": {"name": "lexical"}}}, "same": {}})
        assert told["split"] == "open"
        assert {test["gold"] for test in told["self_test"]} == {1}
        for name in ("project", "words", "same"):
            for value in told["pipelines"][name]["metrics"].values():
                assert value["low"] <= value["mean"] <= value["high"]
                assert value["n"] == told["questions"]
            assert 0 < told["pipelines"][name]["ms"]["p50"] <= told["pipelines"][name]["ms"]["p95"]
        rows = {(d["pipeline"], d["metric"]): d["estimate"] for d in told["differences"]}
        means = {n: told["pipelines"][n]["metrics"]["nDCG@10"]["mean"] for n in told["pipelines"]}
        assert rows["words", "nDCG@10"]["mean"] == pytest.approx(means["words"] - means["project"])
        assert rows["same", "nDCG@10"]["mean"] == 0
        assert project.bench({"same": {}})["pipelines"]["project"] == told["pipelines"]["project"], "measured once"


def test_a_variant_that_cuts_otherwise_gets_an_index_of_its_own(project: Project) -> None:
    with project:
        project.sync()
        before = project.workspace.search.index.state()
        configs = {"whole": laid_over(project.config, {"documents": {"chunker": {"name": "whole"}}})}
        made = opened(project.workspace.search, configs)["whole"]
        assert made.index.documents().keys() == project.workspace.search.index.documents().keys()
        assert set(made.index.documents().values()) == {1}
        assert made.directory.parent == project.derived / "bench"
        version = made.index.state().version
        assert opened(project.workspace.search, configs)["whole"].index.state().version == version, (
            "kept for the next time"
        )
        assert project.workspace.search.index.state() == before


@pytest.mark.parametrize(
    ("split", "says"), [("open", "the split 'open' (train and dev) has no question"), ("dev", "the split 'dev' has no")]
)
def test_a_split_without_a_question_is_named(project: Project, split: str, says: str) -> None:
    # Near duplicates of test questions are taken out: of a few examples none may be left.
    with project, pytest.raises(TooFewExamples, match=re.escape(says)) as caught:
        chosen(replace(project.splits, train=Questions(()), dev=Questions(())), split)
    assert "--synthetic" in caught.value.cure


def test_a_stage_that_only_costs_is_advised_off(project: Project) -> None:
    with project:
        project.sync()
        asked = labelled((*project.splits.train, *project.splits.dev))
        assert set(stages(project.config)) == {"lexical leg", "dense leg"}
        told = ablate(project.workspace.search, asked, RULES)
        rows: dict[str, Json] = {row["stage"]: row for row in told["stages"]}
        for row in rows.values():
            assert row["difference"]["mean"] == pytest.approx(row["with"]["mean"] - row["without"]["mean"])
            assert (row["advice"] == "on") == (row["difference"]["low"] > told["margin"])
        assert ablate(project.workspace.search, asked, RULES, margin=1.0)["stages"][0]["advice"] == "off"


def test_stages_in_lists_are_switched_off_one_by_one() -> None:
    listed = [{"name": "one"}, {"name": "two", "options": {"k": 3}}, {"name": "one"}]
    config = laid_over(Config(), {"retrieval": {"rerankers": listed}})
    found = {name: value for name, value in stages(config).items() if name.startswith("reranker")}
    assert list(found) == ["reranker one (1)", "reranker two", "reranker one (3)"]
    off = laid_over(config, found["reranker two"])
    assert [part.name for part in off.retrieval.rerankers] == ["one", "one"]


def test_a_study_records_the_ablation_and_reports_it(project: Project) -> None:
    with Project(project.directory, laid_over(project.config, {"study": {"ablation": True}})) as changed:
        record = changed.study()
        assert [row["stage"] for row in record["ablation"]["stages"]] == ["lexical leg", "dense leg"]
        page = (changed.records / record["study"] / "report.html").read_text(encoding="utf-8")
        assert 'id="ablation"' in page


def test_documents_without_labels_get_questions_of_their_own(project: Project) -> None:
    with project:
        project._material.examples = [  # type: ignore[misc]
            type(e)(id=e.id, messages=e.messages, references=e.references) for e in project.examples
        ]
        told = project.bench({})
        assert told["split"] == "synthetic"
        assert told["synthetic"] == 1
        assert any("favour search by words" in warning for warning in told["warnings"])
        assert told["pipelines"]["project"]["metrics"]["recall@10"]["mean"] > 0.5


def test_a_tuned_embedder_is_not_measured_on_the_questions_it_learned_from(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = laid_over(project.config, {"retrieval": {"embedder": {"options": {"model": "artifact:embedder:0a1b"}}}})
    assert learned_train([project.config, tuned])
    assert not learned_train([project.config])
    with project:
        assert project.bench({})["split"] == "open"
        monkeypatch.setattr("twofold.study.retrieval.bench.learned_train", lambda configs: len(list(configs)) > 1)
        told = project.bench({"deep": {"retrieval": {"k": 5}}})
        assert told["split"] == "dev"
        assert told["pipelines"]["project"]["metrics"]["recall@10"]["n"] == len(chosen(project.splits, "dev"))
        assert any("tuned on the train split's questions" in warning for warning in told["warnings"])


def test_the_reserve_is_not_measured_on(project: Project) -> None:
    with project, pytest.raises(StudyError, match="sealed"):
        project.bench({}, split="reserve")


def test_pipelines_tried_on_test_questions_are_looks_all_but_one(project: Project) -> None:
    with project:
        asked = looks.asked_digests(labelled(project.splits.test))

        def before() -> int:
            return looks.earlier(looks.ledger(project.records, project.catalogue), asked)

        project.bench({"deep": {"retrieval": {"k": 7}}})
        assert before() == 0, "train and dev cost nothing"
        first = project.bench({}, split="test")
        assert before() == 0
        assert "1 pipeline of retrieval was tried" in first["warnings"][-1]
        assert "decides at 97 %" in first["warnings"][-1]
        deep = {"deep": {"retrieval": {"k": 7}}}
        project.bench(deep, split="test")
        again = project.bench(deep, split="test")
        assert before() == 1, "the same pipelines again are the same looks"
        assert "2 pipelines of retrieval were tried" in again["warnings"][-1]
        assert "decides at 99.25 %" in again["warnings"][-1]
        project.bench({f"k{k}": {"retrieval": {"k": k}} for k in (8, 9)}, split="test")
        assert before() == 3
        (project.records / looks.FILE).unlink()
        assert before() == 3, "the catalogue knows them too"


def test_variants_are_read() -> None:
    assert parse_variant('a b:retrieval.k=5,study.arms=["base", "rag"]') == (
        "a b",
        {"retrieval": {"k": 5}, "study": {"arms": ["base", "rag"]}},
    )
    for bad in ("retrieval.k=5", "x:", ":retrieval.k=5", "x:retrieval"):
        with pytest.raises(ConfigError):
            parse_variant(bad)


def test_a_variant_drops_the_options_of_another_plugin() -> None:
    config = laid_over(Config(), {"retrieval": {"retriever": {"name": "hybrid", "options": {"lexical": 0.3}}}})
    assert laid_over(config, {"retrieval": {"retriever": {"name": "dense"}}}).retrieval.retriever.options == {}
    assert laid_over(config, {"retrieval": {"k": 9}}).retrieval.retriever.options == {"lexical": 0.3}
    with pytest.raises(ConfigError, match="retrievr"):
        laid_over(config, {"retrieval": {"retrievr": {}}})


def test_the_command_prints_json_and_tables(project: Project, capsys: Any) -> None:
    where: Path = project.directory
    assert main(["bench", "retrieval", "-C", str(where), "--json", "-q", "--synthetic", "20", *PARTS]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pipelines"]["project"]["metrics"]["nDCG@10"]["n"] == told["questions"] == 20
    assert main(["bench", "retrieval", "-C", str(where), "--ablation", *PARTS]) == 0
    out = capsys.readouterr().out
    assert "lexical leg" in out
    assert "nDCG@10" in out
    assert main(["bench", "retrieval", "-C", str(where), "--split", "best", *PARTS]) == 2
