"""Folders: what changed, moved, broke and went; equal to a rebuild after any edits; killed and rerun."""

from __future__ import annotations

import json
import os
import queue
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sync_project import by_file, found, found_for_each, held, sync, write_project

from forked import Nursery
from twofold.cli.main import main
from twofold.errors import ConfigError, ProjectLocked, UnknownName
from twofold.indexing import feeds
from twofold.project import Project
from twofold.store.lock import ProjectLock

WORDS = "water wind soil maize wheat drip sprinkler pump canal field rain root seed tillage yield".split()  # noqa: SIM905


def test_add_change_move_delete(make: Callable[..., Path]) -> None:
    directory = make()
    data = directory / "data" / "documents"
    (data / "wells.txt").write_text("A well is forty metres deep.")
    (data / "pumps.md").write_text("# Pumps\n\nA pump lifts water.")
    first = sync(directory)
    assert (first["added"], first["failed"], first["embedded"]) == (2, 0, 2)
    assert by_file(first) == {"data/documents/pumps.md": "added", "data/documents/wells.txt": "added"}
    again = sync(directory)
    assert (again["unchanged"], again["chunks"], again["index"]) == (2, 0, first["index"])
    os.utime(data / "wells.txt")
    assert sync(directory)["unchanged"] == 2
    (data / "deep").mkdir()
    (data / "wells.txt").rename(data / "deep" / "renamed.txt")
    moved = sync(directory)
    assert (moved["moved"], moved["added"], moved["deleted"], moved["embedded"]) == (1, 0, 0, 0)
    assert by_file(moved)["data/documents/deep/renamed.txt"] == "moved"
    assert found(directory, "metres") == ["data/documents/deep/renamed.txt"]
    (data / "pumps.md").write_text("# Pumps\n\nA pump lifts oil.")
    assert (changed := sync(directory))["changed"] == 1
    assert changed["embedded"] == 1
    assert not found(directory, "water")
    (data / "pumps.md").unlink()
    gone = sync(directory)
    assert (gone["deleted"], by_file(gone)["data/documents/pumps.md"]) == (1, "deleted")
    assert not found(directory, "oil")
    assert all("pumps" not in name for name in found(directory, "oil", "dense"))


def test_another_size_of_chunks_cuts_every_document_anew(make: Callable[..., Path]) -> None:
    """A study under other chunks would else be measured on the old ones, and its key would say otherwise."""
    directory = make()
    sentences = [f"The {word} of the {other} is measured in spring." for word in WORDS for other in WORDS[:4]]
    (directory / "data" / "documents" / "long.txt").write_text(" ".join(sentences))
    smaller = {"documents": {"chunker": {"options": {"max_tokens": 24, "min_tokens": 0}}}}
    first = sync(directory)
    with Project.open(directory, smaller) as project:
        cut = project.sync()
        assert (cut["changed"], cut["added"], cut["unchanged"]) == (1, 0, 0)
        assert cut["index"]["chunks"] > 2 * first["index"]["chunks"]
        assert cut["chunks"] == cut["embedded"] == cut["index"]["chunks"]
        assert project.sync()["unchanged"] == 1
    # And back: what was undone is as it was.
    again = sync(directory)
    assert (again["changed"], again["index"]["chunks"]) == (1, first["index"]["chunks"])
    assert sync(directory)["unchanged"] == 1


def test_a_file_whose_encoding_is_named_counts_as_changed_with_its_chunk(make: Callable[..., Path]) -> None:
    directory = make()
    (directory / "data" / "documents" / "old.txt").write_bytes("Käse kostet drei Gulden.".encode("latin-1"))
    assert by_file(sync(directory))["data/documents/old.txt"] == "failed"
    with Project.open(directory, {"documents": {"encodings": {"old.txt": "latin-1"}}}) as project:
        read = project.sync()
    assert (read["added"], read["chunks"], read["embedded"]) == (1, 1, 1)
    assert by_file(read)["data/documents/old.txt"] == "changed", "its bytes are the same, what is read of it is not"


def test_a_sync_of_a_source_apart_notes_its_recipe_and_leaves_the_others(tmp_path: Path) -> None:
    """A server syncs the documents that it was sent, and nothing else, after each of them."""
    sentences = " ".join(f"The {word} of the {other} is measured in spring." for word in WORDS for other in WORDS[:4])
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "there.txt").write_text(sentences)
    directory = write_project(tmp_path / "p", '[sources.more]\nkind = "folder"\npaths = ["../more"]\n')
    (directory / "data" / "documents" / "here.txt").write_text(sentences)
    sync(directory, source="more")
    smaller = {"documents": {"chunker": {"options": {"max_tokens": 24, "min_tokens": 0}}}}
    with Project.open(directory, smaller) as project:
        # The first sync of all of them never came, and other chunks are noticed all the same.
        assert project.sync(source="more")["changed"] == 1
        assert by_file(project.sync(source="more"))["../more/there.txt"] == "unchanged"
        assert project.sync()["added"] == 1
        assert project.sync()["unchanged"] == 2
    assert sync(directory, source="more")["changed"] == 1
    assert sync(directory)["changed"] == 1, "the documents of the project itself are still cut by the other recipe"
    assert sync(directory)["unchanged"] == 2


def test_a_killed_sync_under_another_size_of_chunks_is_undone_wholly(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make()
    sentences = [f"The {word} of the {other} is measured in spring." for word in WORDS for other in WORDS[:4]]
    (directory / "data" / "documents" / "long.txt").write_text(" ".join(sentences))
    first = sync(directory)
    smaller = {"documents": {"chunker": {"options": {"max_tokens": 24, "min_tokens": 0}}}}

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, Project.open(directory, smaller) as project:
        # The documents are in the index, and the sync has not ended.
        patched.setattr("twofold.store.documents.SyncState.drop_renewed", killed)
        with pytest.raises(KeyboardInterrupt):
            project.sync()
    again = sync(directory)
    assert (again["changed"], again["index"]["chunks"]) == (1, first["index"]["chunks"])


def test_a_copy_is_not_embedded_again_and_a_changed_record_alone_is(make: Callable[..., Path]) -> None:
    directory = make()
    data = directory / "data" / "documents"
    rows = [f'{{"id": "r{n}", "title": "Row {n}", "text": "text number {n} about {WORDS[n]}"}}' for n in range(10)]
    (data / "rows.jsonl").write_text("\n".join(rows))
    (data / "one.txt").write_text("The canal is dry.")
    sync(directory)
    shutil.copy(data / "one.txt", data / "two.txt")
    copied = sync(directory)
    assert (copied["added"], copied["embedded"]) == (1, 0)
    rows[3] = rows[3].replace("maize", "barley")
    (data / "rows.jsonl").write_text("\n".join(rows))
    changed = sync(directory)
    assert (changed["changed"], changed["unchanged"], changed["embedded"]) == (1, 11, 1)
    assert found(directory, "barley") == ["r3"]


def test_one_broken_file_stops_nothing_and_is_reported(make: Callable[..., Path]) -> None:
    directory = make()
    data = directory / "data" / "documents"
    (data / "good.txt").write_text("The well is deep.")
    (data / "broken.txt").write_bytes(b"half \x00\x01 binary")
    (data / "rows.jsonl").write_text('{"id": "a", "text": "fine"}\nnot json\n')
    os.mkfifo(data / "pipe.txt")
    report = sync(directory)
    failed = {e["file"].rsplit("/", 1)[-1]: e["failure"] for e in report["files"] if e["status"] == "failed"}
    assert failed.keys() == {"broken.txt", "rows.jsonl", "pipe.txt"}
    assert all(f["code"].startswith("data.") and f["message"] and f["cure"] for f in failed.values())
    assert held(directory).keys() == {"data/documents/good.txt", "a"}
    again = sync(directory)
    assert again["failed"] == 3
    (data / "broken.txt").write_text("mended")
    assert sync(directory)["failed"] == 2
    (data / "good.txt").write_bytes(b"a\x00b")
    assert sync(directory)["failed"] == 3
    assert not found(directory, "deep"), "what a file does not say any more is not answered"


def test_a_missing_folder_deletes_nothing_but_an_empty_one_does(make: Callable[..., Path]) -> None:
    directory = make('[sources.share]\nkind = "folder"\npaths = ["mount"]\ndescription = "The share."')
    share = directory / "mount"
    share.mkdir()
    (share / "a.txt").write_text("Rain falls.")
    assert held_after(directory) == {"share:mount/a.txt"}
    share.rename(directory / "elsewhere")
    report = sync(directory)
    assert report["sources"][0]["failure"]["code"] == "source.unreachable"
    assert (report["failed"], report["deleted"]) == (1, 0)
    assert held(directory).keys() == {"share:mount/a.txt"}
    share.mkdir()
    assert sync(directory)["deleted"] == 1
    assert not held(directory)


def held_after(directory: Path) -> set[str]:
    sync(directory)
    return set(held(directory))


def test_sources_hand_down_collection_metadata_and_readers(make: Callable[..., Path]) -> None:
    directory = make(
        '[sources.law]\nkind = "folder"\npaths = ["law"]\nreaders = ["staff"]\nmetadata = {lang = "en", kind = "act"}'
    )
    (directory / "law").mkdir()
    (directory / "law" / "act.md").write_text("---\nkind: bill\n---\n# Act\n\nWater is free.")
    sync(directory)
    with Project.open(directory) as project:
        (chunk,) = project.workspace.search.index.chunks_of(["law:law/act.md"])
    assert (chunk.collection, chunk.readers, dict(chunk.metadata)) == (
        "law",
        ("staff",),
        {"lang": "en", "kind": "bill"},
    )
    text = (directory / "twofold.toml").read_text().replace('"staff"', '"all"')
    (directory / "twofold.toml").write_text(text)
    assert sync(directory)["changed"] == 1, "other readers are another content"
    (directory / "twofold.toml").write_text(text.split("[sources.law]")[0])
    assert sync(directory)["deleted"] == 1, "a source that is taken out of the file takes its documents along"


def test_only_one_source_is_read_when_asked_for(make: Callable[..., Path]) -> None:
    directory = make('[sources.b]\nkind = "folder"\npaths = ["b"]')
    (directory / "b").mkdir()
    (directory / "b" / "x.txt").write_text("one")
    (directory / "data" / "documents" / "y.txt").write_text("two")
    assert sync(directory, source="b")["added"] == 1
    assert held(directory).keys() == {"b:b/x.txt"}
    sync(directory)
    (directory / "data" / "documents" / "y.txt").unlink()
    assert sync(directory, source="b")["deleted"] == 0
    assert sync(directory, source="documents")["deleted"] == 1
    with pytest.raises(UnknownName, match="unknown source 'c'"):
        sync(directory, source="c")


def test_unknown_options_and_names_are_refused(make: Callable[..., Path]) -> None:
    directory = make('[sources.b]\nkind = "folder"\npath = ["b"]')
    with pytest.raises(ConfigError, match=r"sources.b: unknown key 'path'; did you mean 'paths'"):
        sync(directory)
    with pytest.raises(UnknownName, match="unknown source 'folderr'"):
        sync(make('[sources.b]\nkind = "folderr"', name="other"))


def test_after_random_edits_the_index_is_the_rebuilt_one(make: Callable[..., Path]) -> None:
    for seed in range(4):
        chance = random.Random(seed)
        directory = make('[sources.more]\nkind = "folder"\npaths = ["more"]', name=f"p{seed}")
        folders = [directory / "data" / "documents", directory / "more"]
        folders[1].mkdir()
        for _ in range(12):
            for _ in range(chance.randint(1, 4)):
                edit(chance.choice(folders), chance)
            sync(directory)
        mine, hits = held(directory), found_for_each(directory, WORDS)
        assert sync(directory)["chunks"] == 0
        sync(directory, rebuild=True)
        assert mine == held(directory), f"seed {seed}"
        assert hits == found_for_each(directory, WORDS), f"seed {seed}"


def edit(folder: Path, chance: random.Random) -> None:
    """One random edit: write, change, break, move, copy, delete; record files share ids on purpose."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    kind = chance.choice(["new", "new", "rows", "rows", "change", "break", "move", "copy", "delete", "empty"])
    text = " ".join(chance.choices(WORDS, k=chance.randint(3, 60)))
    target = folder / chance.choice(["", "sub/"]) / f"f{chance.randrange(9)}.{chance.choice(['txt', 'md'])}"
    target.parent.mkdir(exist_ok=True)
    if kind == "rows":
        rows = [f'{{"id": "r{n}", "text": "{text} {n}"}}' for n in chance.sample(range(6), chance.randint(1, 4))]
        (folder / f"rows{chance.randrange(3)}.jsonl").write_text("\n".join(rows))
    elif kind == "new" or not files:
        target.write_text(f"# {text[:10]}\n\n{text}" if target.suffix == ".md" else text)
    elif kind == "change":
        chance.choice(files).write_text(text)
    elif kind == "break":
        chance.choice(files).write_bytes(b"a\x00b")
    elif kind == "empty":
        chance.choice(files).write_text(" \n")
    elif kind == "delete":
        chance.choice(files).unlink()
    else:
        (shutil.copy if kind == "copy" else shutil.move)(chance.choice(files), target)


CHILD = """
import sys
import threading
from pathlib import Path
from typing import Any
import twofold.indexing.sync as syncing
from twofold.project import Project
syncing.BATCH_CHUNKS = 8
with Project.open(Path(sys.argv[1])) as project:
    project.sync(progress=lambda stage, done, total: print(done, flush=True))
"""


def test_killed_at_random_moments_and_run_again_nothing_is_lost_or_double(
    make: Callable[..., Path], nursery: Nursery
) -> None:
    directory, chance, kills = make(), random.Random(5), 0
    for number in range(100):
        text = " ".join(chance.choices(WORDS, k=60))
        (directory / "data" / "documents" / f"d{number:03}.txt").write_text(f"{text} number{number}")
    for last in (15, 40, 95):
        child = nursery.start(CHILD, str(directory))
        for line in child.stdout:
            if int(line) >= last:
                break
        time.sleep(chance.uniform(0, 0.1))
        child.kill()
        kills += child.wait() == -signal.SIGKILL
        (directory / "data" / "documents" / f"d{chance.randrange(100):03}.txt").write_text(f"edited {chance.random()}")
    assert kills >= 2
    sync(directory)
    mine = held(directory)
    assert len(mine) == 100
    with Project.open(directory) as project:
        index = project.workspace.search.index
        assert index.state().chunks == sum(index.documents().values())
    sync(directory, rebuild=True)
    assert mine == held(directory)


SYNC = """
import resource, sys
from twofold.cli.main import main
if int(sys.argv[1]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(["sync", "-C", sys.argv[2], "--quiet"]))
"""


def test_a_full_disk_is_an_error_with_a_cure_and_a_rerun_goes_on(make: Callable[..., Path], nursery: Nursery) -> None:
    directory = make()
    for number in range(300):
        words = " ".join(f"w{number}x{n}" for n in range(150))
        (directory / "data" / "documents" / f"d{number}.txt").write_text(words)
    full = nursery.run(SYNC, "200000", str(directory))
    assert full.returncode == 3, full.stderr
    assert "help: Check free disk space" in full.stderr
    assert nursery.run(SYNC, "0", str(directory)).returncode == 0
    assert len(held(directory)) == 300


def test_a_locked_project_is_said_to_be(make: Callable[..., Path]) -> None:
    directory = make()
    sync(directory)
    with ProjectLock(directory / ".twofold" / "lock"), pytest.raises(ProjectLocked, match="is writing"):
        sync(directory)


def test_a_watched_folder_is_followed(make: Callable[..., Path]) -> None:
    pytest.importorskip("watchfiles")
    directory = make()
    data = directory / "data" / "documents"
    (data / "a.txt").write_text("Water.")
    reports: queue.Queue[dict[str, Any]] = queue.Queue()
    stop = threading.Event()

    def follow() -> None:
        with Project.open(directory) as project:
            for report in feeds.watch(project.workspace.search, project.directory, project.sync, stop=stop):
                reports.put(report)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        assert reports.get(timeout=60)["added"] == 1
        (data / "b.txt").write_text("Wind.")
        assert reports.get(timeout=60)["added"] == 1
        (data / "a.txt").unlink()
        assert reports.get(timeout=60)["deleted"] == 1
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    assert held(directory).keys() == {"data/documents/b.txt"}


def test_an_empty_file_is_nothing_to_mend(make: Callable[..., Path]) -> None:
    directory = make()
    for name, text in (("__init__.py", ""), ("settings.json", "{}"), ("list.json", "[]")):
        (directory / "data" / "documents" / name).write_text(text)
    (directory / "data" / "documents" / "a.md").write_text("Water.")
    for _ in range(2):
        report = sync(directory)
        assert report["failed"] == 0
        statuses = by_file(report)
        assert {statuses[f"data/documents/{name}"] for name in ("__init__.py", "settings.json", "list.json")} == {
            "skipped"
        }


def test_no_name_of_a_file_leaves_it_out_silently(
    make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Read and found, or named with its reason by `sync` and by `check`, in a folder and below it."""
    directory = make()
    data = directory / "data" / "documents"
    names = [
        "README.md", "readme.txt", "LICENSE.md", "Licence fees 2040.md", "NOTICE.txt", "CHANGELOG.md", "SOURCE.md",
        "Examples of forms.md", "examples.md", "example.txt", "index.html", "test_pump.md", "~draft.md",
        "copy of a plan.md", "COPYING.txt", "deep/README.md", "deep/License terms.txt", "deep/examples of leave.txt",
        "deep/__init__.md", "node_modules/a.md", "build/b.md", "tests/c.md",
    ]  # fmt: skip
    left_out = ["examples.jsonl", "examples-2040.csv", "deep/Examples.json", "notes.xyz"]
    codes = {}
    for number, name in enumerate([*names, *left_out]):
        path = data / name
        path.parent.mkdir(exist_ok=True)
        codes[name] = f"zq{number:03d}"
        path.write_text(f"The code of this one is {codes[name]}.\n")
    report = sync(directory)
    prefix = "data/documents/"
    assert held(directory).keys() == {prefix + name for name in names}
    assert {name: found(directory, codes[name])[:1] for name in names} == {name: [prefix + name] for name in names}
    told = {entry["file"]: (entry["failure"] or {}).get("message", "") for entry in report["files"]}
    assert told.keys() == {prefix + name for name in codes}
    assert all(told[prefix + name] for name in left_out)
    main(["check", "-C", str(directory)])
    shown = capsys.readouterr().out
    assert all(f"{prefix}{name}: warning" in shown for name in left_out)


def test_a_file_that_is_read_in_part_is_named_when_it_is_read(
    make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = make()
    data = directory / "data" / "documents"
    picture = f"![a](data:image/png;base64,{'iVBORw0KGgo' * 8})"
    for name in ("a.md", "b.md"):
        (data / name).write_text(f"The well of {name} is deep. {picture}\n")
    (data / "c.csv").write_text("part,bin\nR-1,4\nR-2,5,elm\nR-3,6,ash\n")
    (data / "d.md").write_text("Water.")
    assert main(["sync", "-C", str(directory)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if "read in part" in line] == [
        "2 files read in part (data/documents/a.md, …): not read: 1 picture inside the text",
        "1 file read in part (data/documents/c.csv): line 3: 3 cells under a header of 2; the rest is kept as column 3 "
        "(and 1 more like this)",
    ]
    report = sync(directory)
    assert not any(entry["remarks"] for entry in report["files"]), "nothing is read again"
    (data / "a.md").write_text(f"The well is dry. {picture}\n")
    (remarks,) = [entry["remarks"] for entry in sync(directory)["files"] if entry["remarks"]]
    assert [remark["code"] for remark in remarks] == ["data.partly-read"]


def test_an_answer_that_syncs_first_says_that_a_file_is_read_in_part(
    make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = make()
    picture = f"![a](data:image/png;base64,{'iVBORw0KGgo' * 8})"
    (directory / "data" / "documents" / "a.md").write_text(f"The well is deep. {picture}\n")
    assert main(["ask", "-C", str(directory), "--arm", "rag", "How deep is the well?"]) == 0
    said = capsys.readouterr().err
    assert "not all of 1 file is read, such as data/documents/a.md: `twofold check` says what is not" in said


def test_what_all_files_of_a_kind_lose_is_told_once(
    make: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("kreuzberg")
    directory = make()
    for number in range(3):
        book = f"<FictionBook><body><section><p>Well {number} is deep.</p></section></body></FictionBook>"
        (directory / "data" / "documents" / f"{number}.fb2").write_text(book)
    main(["sync", "-C", str(directory)])
    (told,) = [line for line in capsys.readouterr().out.splitlines() if ".fb2" in line]
    assert told.startswith("3 files read in part (data/documents/0.fb2, …): a .fb2 file is read as plain words")
    main(["check", "-C", str(directory)])
    (told,) = [line for line in capsys.readouterr().out.splitlines() if ".fb2" in line]
    assert "(and 2 files more of this kind)" in told
    main(["check", "-C", str(directory), "--json"])
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert sum(problem["code"] == "data.plain-words" for problem in problems) == 3


def test_a_record_cannot_take_the_place_of_a_source_s_document(make: Callable[..., Path]) -> None:
    directory = make('[sources.handbook]\nkind = "folder"\npaths = ["hb"]')
    (directory / "hb").mkdir()
    (directory / "hb" / "leave.md").write_text("Leave is 30 days.")
    record = {"id": "handbook:hb/leave.md", "text": "Leave is 0 days."}
    (directory / "data" / "documents").mkdir(parents=True, exist_ok=True)
    file = directory / "data" / "documents" / "notes.jsonl"
    file.write_text(json.dumps(record) + "\n" + json.dumps({"id": "x:y", "text": "Tea is free."}) + "\n")
    with Project.open(directory) as project:
        faults = {problem.message: problem.cure for problem in project.check()}
        cure = "Give it an id that does not begin with handbook: or put it into that source."
        assert faults["the document id 'handbook:hb/leave.md' is one of the source 'handbook'"] == cure
        for _ in range(2):
            report = project.sync()
            (failed,) = [row for row in report["files"] if row["failure"]]
            assert failed["file"] == "data/documents/notes.jsonl", "the one that takes the id, not the source's"
            assert "is one of the source 'handbook'" in failed["failure"]["message"]
        texts = {document.id: document.text for document in project.workspace.catalogue.documents.get()}
        assert texts == {"handbook:hb/leave.md": "Leave is 30 days.", "x:y": "Tea is free."}
