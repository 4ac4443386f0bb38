"""One contestant of `side_by_side.py` in a process of its own: ingests a folder, is asked, prints one JSON line.

    python bench/side_by_side_contestants.py JOB.json

Each is set up as its documentation does for text files and a local sentence-transformers model: its own loader,
splitter, in-memory or default store, every option at its default. The embedder comes from the job: ``torch`` is
sentence-transformers (Twofold: its own torch embedder), ``openvino`` is Twofold's embedder handed to the others through
their door for custom embedders, ``hashing`` is words hashed to numbers, for sizes at which no model is to be measured.
"""

# annotations are evaluated here: Haystack reads those of its components
import importlib
import json
import os
import resource
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

DIMENSION = 384


class Contestant(ABC):
    """Model loaded and warm once made; `sync` reads, cuts, embeds and stores the folder; `search` finds files."""

    modes: ClassVar[tuple[str, ...]] = ("dense", "hybrid")
    """Its default first."""
    imports: ClassVar[tuple[str, ...]]
    """Loaded before the clock runs."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.folder, self.runtime, self.model = job["folder"], job["runtime"], job["model"]
        self.threads = job["threads"]
        self.own = None if self.runtime == "torch" else embedder(job)
        for name in self.imports:
            importlib.import_module(name)

    @abstractmethod
    def sync(self, mode: str) -> int:
        """Make the folder searchable in that mode; the number of chunks."""

    @abstractmethod
    def search(self, mode: str, question: str, k: int) -> list[str]:
        """Names of the files of the best `k` chunks, best first."""


def embedder(job: dict[str, Any]) -> Any:
    if job["runtime"] == "hashing":
        from twofold.testing.hashing_embedder import HashingEmbedder

        return HashingEmbedder(HashingEmbedder.Options(dimension=DIMENSION))
    from twofold.retrieval.embedders.openvino import OpenVinoEmbedder

    made = OpenVinoEmbedder(OpenVinoEmbedder.Options(model=f"path:{job['model']}", threads=job["threads"]))
    made.embed(["warm"])
    return made


class Twofold(Contestant):
    modes = ("hybrid", "dense")
    imports = ()

    def __init__(self, job: dict[str, Any]) -> None:
        from twofold.config import Config
        from twofold.plugins import loading
        from twofold.project import Project

        self.folder = job["folder"]
        options = {
            "openvino": {"name": "minilm", "options": {"model": f"path:{job['model']}", "threads": job["threads"]}},
            "torch": {"name": "torch", "options": {"model": f"path:{job['model']}"}},
            "hashing": {"name": "hashing", "options": {"dimension": DIMENSION}},
        }[job["runtime"]]
        values = {"documents": {"paths": [self.folder]}, "retrieval": {"embedder": options}}
        self.project = Project(Path(job["scratch"]), Config.model_validate(values))
        self.project.workspace.search.embedder.embed(["warm"])
        assert not self.project.workspace.search.index.documents()
        self.make = loading.make
        self.retrievers: dict[str, Any] = {}

    def sync(self, mode: str) -> int:
        if self.retrievers:  # one index serves both
            self.retrievers[mode] = self.make(
                "retrievers", "pipeline", {"retriever": {"name": mode}}, parts=self.project.workspace.search.parts
            )
            return int(self.project.workspace.search.index.state().chunks)
        report = self.project.sync()
        assert not report["failed"], report["files"]
        self.retrievers[mode] = self.project.workspace.search.retriever
        return int(report["index"]["chunks"])

    def search(self, mode: str, question: str, k: int) -> list[str]:
        from twofold.types import Query

        hits = self.retrievers[mode].retrieve([Query(text=question)], k)[0].hits
        return [hit.chunk.span.document for hit in hits]


class LlamaIndex(Contestant):
    imports = ("llama_index.core", "llama_index.retrievers.bm25", "llama_index.core.retrievers", "Stemmer")

    def __init__(self, job: dict[str, Any]) -> None:
        from llama_index.core import Settings
        from llama_index.core.llms import MockLLM

        super().__init__(job)
        Settings.llm = MockLLM()  # no question is rewritten; without it the default model is looked for
        Settings.embed_model = self._embedding()
        Settings.embed_model.get_text_embedding("warm")
        self.retrievers: dict[tuple[str, int], Any] = {}

    def _embedding(self) -> Any:
        own = self.own
        if own is None:
            from llama_index.embeddings.huggingface import HuggingFaceEmbedding

            return HuggingFaceEmbedding(model_name=self.model)
        from llama_index.core.embeddings import BaseEmbedding

        class Given(BaseEmbedding):
            def _get_text_embedding(self, text: str) -> list[float]:
                return own.embed([text])[0].tolist()

            def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
                return own.embed(texts).tolist()

            def _get_query_embedding(self, query: str) -> list[float]:
                return self._get_text_embedding(query)

            async def _aget_query_embedding(self, query: str) -> list[float]:
                return self._get_text_embedding(query)

        # the default of 10 texts at a time is for remote services: ours sorts by length, and gets some to sort
        return Given(embed_batch_size=2000)

    def sync(self, mode: str) -> int:
        from llama_index.core import SimpleDirectoryReader, VectorStoreIndex

        if mode == "dense":
            self.index = VectorStoreIndex.from_documents(SimpleDirectoryReader(self.folder).load_data())
        self.search(mode, "warm", 10)
        return len(self.index.docstore.docs)

    def search(self, mode: str, question: str, k: int) -> list[str]:
        if (mode, k) not in self.retrievers:
            self.retrievers[mode, k] = self._retriever(mode, k)
        return [found.node.metadata["file_name"] for found in self.retrievers[mode, k].retrieve(question)]

    def _retriever(self, mode: str, k: int) -> Any:
        near = self.index.as_retriever(similarity_top_k=k)
        if mode == "dense":
            return near
        import Stemmer
        from llama_index.core.retrievers import QueryFusionRetriever
        from llama_index.retrievers.bm25 import BM25Retriever

        words = BM25Retriever.from_defaults(
            docstore=self.index.docstore, similarity_top_k=k, stemmer=Stemmer.Stemmer("english"), language="english"
        )
        return QueryFusionRetriever(
            [near, words], similarity_top_k=k, num_queries=1, mode="reciprocal_rerank", use_async=False
        )


class Haystack(Contestant):
    imports = (
        "haystack.components.converters", "haystack.components.preprocessors", "haystack.components.writers",
        "haystack.components.joiners", "haystack.components.retrievers.in_memory",
    )  # fmt: skip

    def __init__(self, job: dict[str, Any]) -> None:
        from haystack.document_stores.in_memory import InMemoryDocumentStore

        super().__init__(job)
        self.texts, self.asked = self._embedders()
        self.store = InMemoryDocumentStore()
        self.pipelines: dict[str, Any] = {}

    def _embedders(self) -> tuple[Any, Any]:
        own = self.own
        if own is None:
            from haystack_integrations.components.embedders.sentence_transformers import (
                SentenceTransformersDocumentEmbedder,
                SentenceTransformersTextEmbedder,
            )

            pair = (
                SentenceTransformersDocumentEmbedder(model=self.model, progress_bar=False),
                SentenceTransformersTextEmbedder(model=self.model, progress_bar=False),
            )
            for one in pair:
                one.warm_up()
            pair[1].run("warm")
            return pair
        from dataclasses import replace

        from haystack import Document, component

        @component
        class Texts:
            @component.output_types(documents=list[Document])
            def run(self, documents: list[Document]) -> dict[str, Any]:
                vectors = own.embed([d.content or "" for d in documents]).tolist()
                return {"documents": [replace(d, embedding=v) for d, v in zip(documents, vectors, strict=True)]}

        @component
        class Asked:
            @component.output_types(embedding=list[float])
            def run(self, text: str) -> dict[str, Any]:
                return {"embedding": own.embed([text])[0].tolist()}

        return Texts(), Asked()

    def sync(self, mode: str) -> int:
        from haystack import Pipeline
        from haystack.components.converters import TextFileToDocument
        from haystack.components.preprocessors import DocumentCleaner, DocumentSplitter
        from haystack.components.writers import DocumentWriter

        if mode == "dense":  # the store keeps the words of BM25 in any case
            made = Pipeline()
            stages = {
                "converter": TextFileToDocument(), "cleaner": DocumentCleaner(), "splitter": DocumentSplitter(),
                "embedder": self.texts, "writer": DocumentWriter(self.store),
            }  # fmt: skip
            for name, stage in stages.items():
                made.add_component(name, stage)
            for before, after in pairwise(stages):
                made.connect(f"{before}.documents", f"{after}.documents")
            made.run({"converter": {"sources": sorted(Path(self.folder).iterdir())}})
        self.pipelines[mode] = self._asking(mode)
        return int(self.store.count_documents())

    def _asking(self, mode: str) -> Any:
        from haystack import Pipeline
        from haystack.components.joiners import DocumentJoiner
        from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever

        for other in self.pipelines.values():  # a component belongs to one pipeline
            other.remove_component("asked")
        made = Pipeline()
        made.add_component("asked", self.asked)
        made.add_component("near", InMemoryEmbeddingRetriever(self.store))
        made.connect("asked.embedding", "near.query_embedding")
        if mode == "hybrid":
            made.add_component("words", InMemoryBM25Retriever(self.store))
            made.add_component("joiner", DocumentJoiner(join_mode="reciprocal_rank_fusion"))
            made.connect("near", "joiner")
            made.connect("words", "joiner")
        return made

    def search(self, mode: str, question: str, k: int) -> list[str]:
        given: dict[str, Any] = {"asked": {"text": question}, "near": {"top_k": k}}
        if mode == "hybrid":
            given |= {"words": {"query": question, "top_k": k}, "joiner": {"top_k": k}}
        found = self.pipelines[mode].run(given)["joiner" if mode == "hybrid" else "near"]["documents"]
        return [document.meta["file_path"] for document in found]


class Txtai(Contestant):
    imports = ("txtai.pipeline",)

    def __init__(self, job: dict[str, Any]) -> None:
        from txtai import Embeddings

        super().__init__(job)
        own = self.own
        given: dict[str, Any] = (
            {"path": self.model}
            if own is None
            else {"method": "external", "transform": lambda texts: own.embed(list(texts))}
        )
        self.embeddings = {
            "dense": Embeddings(content=True, **given),
            "hybrid": Embeddings(content=True, hybrid=True, **given),
        }
        for one in self.embeddings.values():
            one.batchtransform(["warm"])

    def sync(self, mode: str) -> int:
        from txtai.pipeline import Segmentation

        segment = Segmentation(paragraphs=True)

        def rows() -> Any:
            for path in sorted(Path(self.folder).iterdir()):
                for text in segment(path.read_text(encoding="utf-8")):
                    yield path.name, text

        self.embeddings[mode].index(rows())
        return int(self.embeddings[mode].count())

    def search(self, mode: str, question: str, k: int) -> list[str]:
        return [found["id"] for found in self.embeddings[mode].search(question, k)]


CONTESTANTS = {"Twofold": Twofold, "LlamaIndex": LlamaIndex, "Haystack": Haystack, "txtai": Txtai}


def asked(contestant: Contestant, mode: str, questions: Sequence[str], job: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of the first questions one at a time, CPU time included, and the files found for all."""
    for question in questions[:3]:
        contestant.search(mode, question, job["k"])
    laps = []
    began_cpu = time.process_time()
    for question in questions[: job["timed"]]:
        began = time.perf_counter()
        contestant.search(mode, question, job["k"])
        laps.append(1000 * (time.perf_counter() - began))
    cpu = 1000 * (time.process_time() - began_cpu) / len(laps)
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024
    found = [contestant.search(mode, question, job["depth"]) for question in questions] if job["depth"] else []
    names = [list(dict.fromkeys(Path(name).stem for name in names)) for names in found]
    return {"ms": laps, "cpu_ms": cpu, "peak_mib": peak, "found": names}


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if job["runtime"] == "torch":
        import torch

        torch.set_num_threads(job["threads"])
    answer = os.dup(1)  # libraries print what they like: the answer has a line of its own
    os.dup2(2, 1)
    contestant = CONTESTANTS[job["contestant"]](job)
    questions = json.loads(Path(job["questions"]).read_text(encoding="utf-8"))
    out: dict[str, Any] = {}
    seconds = cpu = 0.0
    for mode in contestant.modes:
        if job["contestant"] == "txtai":  # it indexes anew for another mode, the others go on from what they have
            seconds = cpu = 0.0
        began, began_cpu = time.perf_counter(), time.process_time()
        chunks = contestant.sync(mode)
        seconds += time.perf_counter() - began
        cpu += time.process_time() - began_cpu
        out[mode] = {"chunks": chunks, "seconds": seconds, "cpu": cpu, **asked(contestant, mode, questions, job)}
    os.write(answer, (json.dumps(out) + "\n").encode())


if __name__ == "__main__":
    main()
