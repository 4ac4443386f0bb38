"""Reading documents: files, pages and characters a second and peak memory per format, side by side with another reader.

    python bench/documents.py [--seconds 3] [--rounds 3] [--formats pdf docx sync] [--against FOLDER] [--before FOLDER]

The files are those of `messy_documents` that are meant to be read, over and over until the time is up. Every
measurement is a process of its own; the sides take turns, A B A B. Ours is what `twofold sync` does: `FileReader`, with
its worker process, limits and places; the memory is that process's and its worker's. The other sides are markitdown
and, for PDF, pypdf, in this process, without limits; a side that is not installed is left out. `--against`: a folder
to import them from (pip install --target FOLDER 'markitdown[pdf,docx,pptx,xlsx]' pypdf). `--before`: a folder with an
earlier state of this repository (pip install --no-deps --target FOLDER CHECKOUT), which is one more side. The format
`sync` is a whole sync of all these files by a new project, embedding included, without the loading of the embedder;
only ours and the state before have one. Start-up and the first pass are not timed. `ratio`: our files a second over
that side's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

DATA = Path(os.environ.get("TWOFOLD_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
FORMATS = ("pdf", "docx", "pptx", "xlsx", "odt", "epub", "eml", "html", "md")
SIDES = ("twofold", "before", "markitdown", "pypdf")
Read = Callable[[Path], int]
"""A file → the number of its characters."""


def files_of(kind: str) -> list[Path]:
    folder = DATA / "messy_documents"
    rows = [json.loads(line) for line in (folder / "files.jsonl").read_text(encoding="utf-8").splitlines()]
    wanted = {"text", "loads"}
    return [folder / row["file"] for row in rows if row["expect"] in wanted and row["file"].endswith("." + kind)]


def pages_of(kind: str, paths: list[Path]) -> int:
    """Pages or slides where the format has them, else files."""
    if kind == "pdf":
        import pypdfium2

        return sum(len(pypdfium2.PdfDocument(path)) for path in paths)
    if kind == "pptx":
        import pptx

        return sum(len(pptx.Presentation(str(path)).slides) for path in paths)
    return len(paths)


def twofold() -> tuple[Read, Callable[[], float]]:
    from twofold.corpus.files import FileReader
    from twofold.settings.sections import DocumentsSection
    from twofold.types import Loaded

    reader = FileReader(DocumentsSection())

    def read(path: Path) -> int:
        documents, _ = reader.read(Loaded(name=path.name, path=str(path)))
        return sum(len(document.text) for document in documents)

    def close() -> float:
        """Ends the worker; its own peak, in MiB, in whole processes."""
        reader.close()
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024

    return read, close


def markitdown() -> tuple[Read, Callable[[], float]]:
    from markitdown import MarkItDown

    converter = MarkItDown(enable_plugins=False)
    return lambda path: len(converter.convert(str(path)).text_content), lambda: 0.0


def pypdf() -> tuple[Read, Callable[[], float]]:
    import pypdf as library

    def read(path: Path) -> int:
        return sum(len(page.extract_text()) for page in library.PdfReader(path).pages)

    return read, lambda: 0.0


def whole_sync() -> dict[str, float]:
    """All files of all formats into the index of a new project."""
    from twofold.project import Project

    paths = [path for kind in FORMATS for path in files_of(kind)]
    with tempfile.TemporaryDirectory() as place:
        project_at, held = Path(place), Path(place) / "documents"
        held.mkdir()
        for number, path in enumerate(paths):
            shutil.copy(path, held / f"{number}-{path.name}")
        settings = '[documents]\npaths = ["documents"]\n[generation.generator]\nname = "echo"\n'
        (project_at / "twofold.toml").write_text(settings, encoding="utf-8")
        with Project.open(project_at) as project:
            project.workspace.search.embedder.embed(["The words that load it."])
            began = time.perf_counter()
            report = project.sync()
            spent = time.perf_counter() - began
            characters = sum(len(one.text) for one in project.catalogue.documents.get())
    return {
        "files": report["added"],
        "of": len(paths),
        "files_per_second": len(paths) / spent,
        "pages_per_second": report["chunks"] / spent,
        "characters_per_second": characters / spent,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure(side: str, kind: str, seconds: float) -> dict[str, float]:
    if kind == "sync":
        return whole_sync()
    read, close = {"twofold": twofold, "before": twofold, "markitdown": markitdown, "pypdf": pypdf}[side]()
    usable = []
    for path in files_of(kind):
        try:
            if read(path) > 0:
                usable.append(path)
        except Exception:  # a side that cannot read a file is measured on those it can
            continue
    if not usable:
        return {"files": 0}
    started, passes, characters = time.perf_counter(), 0, 0
    while time.perf_counter() - started < seconds:
        characters += sum(read(path) for path in usable)
        passes += 1
    spent = time.perf_counter() - started
    child = close()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "files": len(usable),
        "of": len(files_of(kind)),
        "files_per_second": passes * len(usable) / spent,
        "pages_per_second": passes * pages_of(kind, usable) / spent,
        "characters_per_second": characters / spent,
        "peak_mib": own + child,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS))
    parser.add_argument("--against", default="")
    parser.add_argument("--before", default="", metavar="FOLDER")
    parser.add_argument("--side", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(measure(args.side, args.formats[0], args.seconds)))
        return
    ours_at = str(Path(__file__).resolve().parents[1] / "src")
    trees = {"twofold": ours_at, "before": args.before}
    print(f"{'':6}{'side':12}{'read':>9}{'files/s':>10}{'pages/s':>10}{'Mchar/s':>10}{'peak MiB':>10}{'ratio':>8}")
    for kind in args.formats:
        runs: dict[str, list[dict[str, float]]] = {}
        for _ in range(args.rounds):
            for side in SIDES:
                other = (kind != "pdf" and side == "pypdf") or (kind == "sync" and side not in trees)
                if other or (side == "before" and not args.before):
                    continue
                command = [sys.executable, __file__, "--side", side, "--formats", kind, "--seconds", str(args.seconds)]
                path = trees.get(side, args.against)
                done = subprocess.run(
                    command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
                )
                if done.returncode == 0 and (result := json.loads(done.stdout.splitlines()[-1])).get("files"):
                    runs.setdefault(side, []).append(result)
        ours = statistics.median(run["files_per_second"] for run in runs["twofold"])
        for side, found in runs.items():
            middle = {key: statistics.median(run[key] for run in found) for key in found[0]}
            print(
                f"{kind:6}{side:12}{middle['files']:>5.0f}/{middle['of']:<3.0f}{middle['files_per_second']:>10.1f}"
                f"{middle['pages_per_second']:>10.1f}{middle['characters_per_second'] / 1e6:>10.2f}"
                f"{middle['peak_mib']:>10.0f}{ours / middle['files_per_second']:>8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
