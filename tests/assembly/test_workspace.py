"""What the workspace makes: training rows rendered as live requests are, adapters bound to their template."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold import prompts
from twofold.errors import IndexMismatch, TemplateMismatch
from twofold.plugins import loading
from twofold.project import Project
from twofold.settings.loading import laid_over


def test_open_book_rows_cite_the_gold_passage_or_abstain(project: Project) -> None:
    with project:
        project.sync()
        job = project.workspace.adapters.job(project.config.arm("ft+rag"), project.splits)
        gold = {e.id: e for e in project.splits.train}
        texts = {d.id: " ".join(d.text.split()) for d in project.documents}
    template = project.config.template
    abstained = cited = clozes = 0
    for rows in job.rows:
        assert {row.example for row in rows} >= set(gold)
        for row in rows:
            asked = row.messages[-1].content
            if row.completion == template.abstention:
                abstained += 1
                continue
            number = int(re.match(r"\[(\d+)\] ", row.completion).group(1))  # type: ignore[union-attr]
            found = re.search(rf"^\[{number}\] (.*?)\n(?=\[\d+\] |</passages)", asked, re.MULTILINE | re.DOTALL)
            passage = " ".join(found.group(1).split())  # type: ignore[union-attr]
            if row.example in gold:
                example = gold[row.example]
                cited += 1
                assert any(passage in texts[source] for source in example.sources)
                assert row.completion == f"[{number}] {example.references[0]}"
            else:
                clozes += 1
                assert row.completion.split("] ", 1)[1] in passage
    share = abstained / (abstained + cited)
    assert 0.02 < share < 0.25
    assert clozes > 0


def test_rows_and_live_requests_are_rendered_by_the_same_code(project: Project) -> None:
    with project:
        project.sync()
        arm = project.config.arm("ft+rag")
        job = project.workspace.adapters.job(arm, project.splits)
        system = project.workspace.systems.assembled(arm, generator=project.workspace.models.generator(), shots=())
        for item, example in zip(job.dev, project.splits.dev, strict=True):
            assert item.prompt == system.prompt(example, list(item.hits))
            assert item.prompt.messages[0].content.startswith(project.config.template.open[:40])
        closed = project.workspace.adapters.job(project.config.arm("ft"), project.splits)
    assert len(closed.rows) == 1
    for row, example in zip(closed.rows[0], project.splits.train, strict=True):
        assert row.messages == prompts.render(example.messages, template=project.config.template).messages


def test_the_adapter_key_follows_rows_template_and_options(
    project: Project, fast: Callable[..., dict[str, Any]]
) -> None:
    def key(**changes: Any) -> str:
        with Project.open(project.directory, {**fast(), **changes}) as one:
            one.sync()
            return one.workspace.adapters.key(one.workspace.adapters.job(one.config.arm("ft"), one.splits))

    same = key()
    assert key() == same
    assert key(prompt={"closed": "Be brief."}) != same
    assert key(tuning={"trainer": {"options": {"rank": 4}}}) != same
    assert key(tuning={"seed": 5}) != same


def test_an_adapter_of_another_template_is_refused(project: Project) -> None:
    with project:
        artifacts = project.workspace.artifacts
        artifacts.working("adapter:other").joinpath("adapter_config.json").write_text("{}")
        artifacts.finish("adapter:other", {"kind": "adapter", "template": "template:other", "report": {}})
        with pytest.raises(TemplateMismatch):
            project.workspace.models.load("adapter:other")


def test_two_runs_of_one_job_are_two_systems_when_their_weights_differ(project: Project) -> None:
    """Copies and answers go by what the weights are, not by what was asked for: training need not repeat itself."""
    seen = []
    with project:
        artifacts, template = project.workspace.artifacts, project.config.template.digest
        for weights, log in (("one", "a"), ("two", "a"), ("two", "b")):
            artifacts.remove("adapter:job") if seen else None
            work = artifacts.working("adapter:job")
            (work / "adapter_model.safetensors").write_text(weights)
            (work / "training.json").write_text(log)
            artifacts.finish("adapter:job", {"kind": "adapter", "template": template, "report": {}})
            generator = project.workspace.models.generator(project.workspace.models.load("adapter:job"))
            seen.append(
                project.workspace.systems.assembled(project.config.arm("ft"), generator=generator, shots=()).key
            )
    assert seen[0] != seen[1] == seen[2]


def test_another_embedder_refuses_the_index_until_it_is_rebuilt(
    project: Project, fast: Callable[..., dict[str, Any]]
) -> None:
    with project:
        project.sync()
    other = fast()
    other["retrieval"]["embedder"]["options"] = {"dimension": 64}
    with Project.open(project.directory, other) as changed:
        with pytest.raises(IndexMismatch) as caught:
            changed.sync()
        assert "--rebuild" in caught.value.cure
        assert changed.sync(rebuild=True)["added"] > 0


def test_only_changed_documents_are_embedded_again(project: Project) -> None:
    with project:
        first = project.sync()
        again = project.sync()
    path: Path = project.directory / "data" / "documents.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[0] = lines[0].replace('"text":"', '"text":"Changed. ')
    path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    with Project.open(project.directory, project.config.model_dump()) as later:
        third = later.sync()
    assert first["added"] == len(lines)
    assert (again["added"], again["changed"], again["chunks"]) == (0, 0, 0)
    assert (third["added"], third["changed"], third["deleted"]) == (0, 1, 1)
    assert third["index"]["documents"] == len(lines) - 1


def test_the_system_key_follows_the_version_of_a_part_inside_a_part(project: Project) -> None:
    class Newer(loading.find("retrievers", "hybrid")):
        version = 99

    with Project(project.directory, laid_over(project.config, {"retrieval": {"preset": "agentic"}})) as changed:
        changed.sync()
        arm = changed.config.arm("rag")
        before = changed.workspace.arms.known_key(arm, changed.splits)
        assert changed.workspace.arms.known_key(arm, changed.splits) == before
        with loading.registered("retrievers", "hybrid", Newer):
            assert changed.workspace.arms.known_key(arm, changed.splits) != before


def test_shots_of_a_reading_arm_bring_the_passage_that_their_answer_cites(project: Project) -> None:
    with project:
        project.sync()
        system, _ = project.workspace.arms.system(project.config.arm("prompt+rag"), project.splits)
        plain, _ = project.workspace.arms.system(project.config.arm("rag"), project.splits)
        example = project.splits.dev[0]
        prepared, bare = system.prepare([example])[0].prompt, plain.prepare([example])[0].prompt
        texts = {d.id: " ".join(d.text.split()) for d in project.documents}
    assert prepared
    assert bare
    assert system.key != plain.key
    # The question itself is asked as in the arm without shots, with the same passages.
    assert (prepared.messages[0], prepared.messages[-1]) == (bare.messages[0], bare.messages[-1])
    shots = prepared.messages[1:-1]
    assert len(system.shots) == project.config.study.shots
    assert len(shots) == 2 * len(system.shots)
    for shot, asked, reply in zip(system.shots, shots[::2], shots[1::2], strict=True):
        passage = re.search(r"<passages>\n\[1\] (.*)\n</passages>", asked.content, re.DOTALL)
        assert passage
        assert " ".join(passage.group(1).split()) in texts[shot.sources[0]]
        assert asked.content.endswith(shot.question)
        assert reply.content == f"[1] {shot.references[0]}"
        assert shot.references[0].casefold() in passage.group(1).casefold()


def test_an_arm_with_shots_is_tuned_as_the_arm_without(project: Project) -> None:
    with project:
        project.sync()
        adapters, splits, method = project.workspace.adapters, project.splits, project.workspace.adapters.methods[0]
        pairs = [("ft", "prompt+ft"), ("ft+rag", "prompt+ft+rag")]
        for name, shown in pairs:
            arm, other = project.config.arm(name), project.config.arm(shown)
            assert adapters.key(adapters.job(other, splits)) == adapters.key(adapters.job(arm, splits))
            assert adapters.known_keys(other, splits, method) == adapters.known_keys(arm, splits, method)
