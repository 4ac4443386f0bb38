"""Where a project's index lies: in its folder, in another one, or in a bucket, and who may write there."""

from __future__ import annotations

from pathlib import Path

import pytest

from object_store import ObjectStore
from twofold.assembly import index_places
from twofold.cli.doctor import lines
from twofold.cli.doctor_findings import _index, advise
from twofold.config import Config
from twofold.errors import ConfigError, ProjectLocked
from twofold.files.remote import RemoteFolder
from twofold.settings.scale import ScaleSection
from twofold.settings.sections import Part, RetrievalSection


def configured(index: str, *, name: str = "lancedb", endpoint: str = "", **options: object) -> Config:
    retrieval = RetrievalSection(index=Part(name=name, options=options))
    return Config(scale=ScaleSection(index=index, endpoint=endpoint), retrieval=retrieval)


def test_without_the_setting_it_lies_in_the_project(tmp_path: Path) -> None:
    assert index_places.place_of(Config(), tmp_path / ".twofold") == tmp_path / ".twofold" / "index"
    assert index_places.leases(Config()) == []


def test_only_the_index_that_answers_is_shared(tmp_path: Path) -> None:
    config = configured("s3://bucket/team/", endpoint="http://127.0.0.1:9")
    place = index_places.place_of(config, tmp_path / ".twofold")
    assert isinstance(place, RemoteFolder)
    assert (place.url, place.top.url) == ("s3://bucket/team/index", "s3://bucket/team")
    for beside in (".twofold-trial", ".twofold/bench/abc"):
        assert index_places.place_of(config, tmp_path / beside) == tmp_path / beside / "index"


def test_a_folder_of_the_network_has_a_lock_beside_the_index(tmp_path: Path) -> None:
    config = configured(f"file://{tmp_path}/shared%20one")
    assert index_places.place_of(config, Path(".twofold")) == tmp_path / "shared one" / "index"
    (first,), (second,) = index_places.leases(config), index_places.leases(config)
    with first, pytest.raises(ProjectLocked, match="is writing to the index of this project"), second:
        pytest.fail("two writers at once")


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ConfigError, match="'pgvector' cannot lie in an object store") as caught:
        index_places.shared(configured("s3://bucket/team", name="pgvector"))
    assert '"lancedb"' in caught.value.cure
    with pytest.raises(ConfigError, match=r"memory://team.* ends with the process"):
        index_places.shared(configured("memory://team"))


def test_doctor_says_what_is_there_who_writes_and_what_is_wrong(object_store: ObjectStore) -> None:
    bucket = object_store.bucket()
    config = configured(f"s3://{bucket}/team", endpoint=object_store.endpoint)
    (lease,) = index_places.leases(config)
    with lease:
        row = _index(config)
    assert row is not None
    assert "process" in row["writer"]
    assert index_places.writer(config) == ""
    bad = configured("s3://no-such-bucket-here/team", endpoint=object_store.endpoint)
    row = _index(bad)
    findings = {
        "project": None, "machine": {}, "disk": [], "extras": [], "models": [], "uses": [], "index": row,
        "store": None, "failed": [],
        "minutes": {"demo": None, "demo_quick": None, "project": None},
    }  # fmt: skip
    (sentence,) = advise(findings, bad)
    assert "there is no bucket 'no-such-bucket-here'" in sentence
    assert "Create the bucket" in sentence
    shown = lines(
        {**findings, "speed": dict.fromkeys(("arithmetic", "training", "answering", "embedding")), "todo": []}
    )
    assert any("s3://no-such-bucket-here/team, not usable" in line for line in shown)
