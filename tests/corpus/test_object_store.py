"""Files in an object store: a bucket of a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from object_store import ObjectStore
from twofold.corpus.sources.folder import FolderSource
from twofold.errors import FileTooLarge, LeftOut, SourceUnreachable
from twofold.project import Project

PROJECT = """
[documents]
paths = []
[sources.papers]
kind = "folder"
paths = ["{paths}"]
{more}

[scale]
endpoint = "{endpoint}"

[retrieval.embedder]
name = "hashing"
options = {{dimension = 64}}

[generation.generator]
name = "echo"
options = {{mode = "quote"}}
"""


class Bucket:
    def __init__(self, store: ObjectStore) -> None:
        pytest.importorskip("s3fs")
        import fsspec

        self.endpoint, self.name = store.endpoint, store.bucket()
        # Apart from the one that is tested, with what that keeps of its listings.
        self._files = fsspec.filesystem("s3", endpoint_url=store.endpoint, skip_instance_cache=True)

    def put(self, key: str, text: str | None) -> None:
        """Write an object, or delete it."""
        if text is None:
            self._files.rm_file(f"{self.name}/{key}")
        else:
            self._files.pipe_file(f"{self.name}/{key}", text.encode())


@pytest.fixture
def bucket(object_store: ObjectStore) -> Bucket:
    return Bucket(object_store)


def source(bucket: Bucket, path: str, tmp_path: Path, *, limit: int = 1000, **options: object) -> FolderSource:
    made = FolderSource(
        FolderSource.Options.model_validate({"paths": [path], **options}), root=tmp_path, scratch=tmp_path, limit=limit
    )
    made.reach(bucket.endpoint)
    return made


def sync(directory: Path, bucket: Bucket, *, paths: str, more: str = "") -> dict[str, object]:
    directory.mkdir(exist_ok=True)
    text = PROJECT.format(paths=paths, endpoint=bucket.endpoint, more=more)
    (directory / "twofold.toml").write_text(text, encoding="utf-8")
    with Project.open(directory) as project:
        report = project.sync()
        return {**report, "held": project.workspace.search.index.contents()}


def test_a_bucket_is_followed_object_by_object(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("docs/a.txt", "Water is wet.")
    bucket.put("docs/deep/b.md", "# Soil\n\nSoil is dry.")
    bucket.put("docs/.hidden.txt", "nothing")
    bucket.put("other/c.txt", "Iron is hard.")
    address = f"s3://{bucket.name}/docs"
    more = f'ids_from = "s3://{bucket.name}"'
    first = sync(tmp_path / "p", bucket, paths=address, more=more)
    assert (first["added"], first["failed"]) == (2, 0)
    assert set(first["held"]) == {"papers:docs/a.txt", "papers:docs/deep/b.md"}
    assert sync(tmp_path / "p", bucket, paths=address, more=more)["unchanged"] == 2
    bucket.put("docs/a.txt", "Water is cold.")
    bucket.put("docs/deep/b.md", None)
    bucket.put("docs/e.txt", "Copper is red.")
    last = sync(tmp_path / "p", bucket, paths=address, more=more)
    assert (last["changed"], last["deleted"], last["added"], last["embedded"]) == (1, 1, 1, 2)


def test_a_bucket_that_is_empty_or_out_of_reach_deletes_nothing(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("docs/a.txt", "Water is wet.")
    address = f"s3://{bucket.name}/docs"
    assert sync(tmp_path / "p", bucket, paths=address)["added"] == 1
    bucket.put("docs/a.txt", None)
    report = sync(tmp_path / "p", bucket, paths=address)
    assert report["failed"] == 1
    assert report["sources"][0]["failure"]["message"] == f"there is no object {address}, and none below it"
    assert list(report["held"]) == [f"papers:{bucket.name}/docs/a.txt"]
    with pytest.raises(SourceUnreachable, match="there is no object s3://no-such-bucket"):
        list(source(bucket, "s3://no-such-bucket/docs", tmp_path).items({}))
    silent = source(bucket, address, tmp_path)
    silent.reach("http://127.0.0.1:9")
    with pytest.raises(SourceUnreachable, match="does not answer") as refused:
        list(silent.items({}))
    assert "[scale].endpoint" in refused.value.cure


def test_patterns_names_and_sizes_count_as_for_files_on_a_disk(bucket: Bucket, tmp_path: Path) -> None:
    for key in ("docs/a.txt", "docs/deep/b.txt", "docs/c.md", "docs/examples.jsonl"):
        bucket.put(key, "x" * 50)
    here = f"s3://{bucket.name}"
    items = list(source(bucket, f"{here}/docs/**/*.txt", tmp_path).items({}))
    assert [item.id for item in items] == [f"{bucket.name}/docs/a.txt", f"{bucket.name}/docs/deep/b.txt"]
    (item,) = source(bucket, f"{here}/docs/a.txt", tmp_path, limit=10).items({})
    assert item.state.startswith("50-")
    with pytest.raises(FileTooLarge):
        item.load()
    left_out = {item.id: item for item in source(bucket, f"{here}/docs", tmp_path, exclude=["examples*"]).items({})}
    with pytest.raises(LeftOut):
        left_out[f"{bucket.name}/docs/examples.jsonl"].load()


def test_an_object_that_goes_away_while_it_is_listed_keeps_its_documents(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        bucket.put(f"docs/{name}.txt", f"Water {name} is wet.")
    address = f"s3://{bucket.name}/docs"
    assert sync(tmp_path / "p", bucket, paths=address)["added"] == 2
    bucket.put("docs/b.txt", "Water b is cold.")
    stored = FolderSource._stored

    def late(self: FolderSource, file: object) -> object:
        bucket.put("docs/b.txt", None)
        return stored(self, file)

    monkeypatch.setattr(FolderSource, "_stored", late)
    report = sync(tmp_path / "p", bucket, paths=address)
    assert report["failed"] == 1
    assert len(report["held"]) == 2
