"""Models tuned here that an endpoint answers with: it knows each by its content's id, so no name means other weights.

A tuned model is named at the endpoint by its id in `twofold models list`, the candidates of a training that has no id
yet by the digest of their weights. vLLM lists its LoRA adapters as models, takes them at its start
(``--lora-modules ID=FOLDER``), and where its operator allows it at run time, too
(https://docs.vllm.ai/en/latest/features/lora/). A model that is served whole has the id as its served name.
"""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from twofold.errors import EndpointUnreachable, GenerationError
from twofold.generation.endpoint.identity import probed
from twofold.models.adapter_layers import WEIGHTS
from twofold.models.endpoints import reason
from twofold.store.model_registry import model_id
from twofold.store.published import MANIFEST
from twofold.types import Adapter, Json

TUNED_THERE = "tuned_model.json"
"""File of an adapter that is a model tuned at an endpoint: its name and address."""


def name_of(adapter: Adapter, *, model: str, base_url: str, weights: str) -> str:
    """The endpoint's name of a tuned model.

    Args:
        adapter: The tuned model.
        model: The endpoint's name of the untuned model, for errors.
        base_url: Address of the endpoint.
        weights: What the endpoint serves, as this machine names it; empty where its weights are not here.

    Raises:
        GenerationError: the adapter consists of weights that the endpoint cannot have, or belongs to another endpoint.
    """
    folder = Path(adapter.path)
    if (folder / TUNED_THERE).is_file():
        tuned_model: Json = json.loads((folder / TUNED_THERE).read_text(encoding="utf-8"))
        if tuned_model["base_url"].rstrip("/") != base_url.rstrip("/"):
            raise GenerationError(
                f"the model {tuned_model['model']!r} was tuned at {tuned_model['base_url']}, not at {base_url}",
                cure="Set base_url in [generation.generator.options] to the endpoint that has this model.",
            )
        return str(tuned_model["model"])
    if not weights:
        raise GenerationError(
            f"the endpoint's model {model!r} cannot be tuned with the local adapter {adapter.key}",
            cure='Set [tuning.trainer].name = "openai" to tune at the endpoint, or use the generator "local"; where '
            "the endpoint serves weights that are on this machine, name them as `weights` beside base_url.",
        )
    manifest = folder / MANIFEST
    if not manifest.is_file():
        # a candidate of a training that is not over: the same weights are the same name here, too
        return adapter.weights
    return model_id(json.loads(manifest.read_text(encoding="utf-8")))


def require_served(client: httpx.Client, *, adapter: Adapter | None, name: str) -> None:
    """See that the endpoint answers by this name: it lists it, or loads the adapter now.

    Args:
        client: Connected to the endpoint, up to ``/v1``.
        adapter: The tuned model; its folder must be the endpoint's as well where it is loaded at run time. None: the
            untuned model, which a server of a tuned one alone may answer for in silence.
        name: The endpoint's name for it.

    Raises:
        EndpointUnreachable: the endpoint does not answer.
        GenerationError: it does not serve the model, and cannot load it.
    """
    seen = probed(client, name)
    if not seen.alive:
        raise EndpointUnreachable(f"the connection to {client.base_url} failed: {seen.reason}")
    # an endpoint without a list is taken at its word: it refuses an unknown model itself
    if not seen.names or name in seen.names:
        return
    refusal = "another one would answer" if adapter is None else _not_loaded(client, adapter, name)
    if not refusal:
        return
    model = f"the tuned model {name}" if adapter else repr(name)
    again = f" {name}" if adapter else ""
    raise GenerationError(
        f"the endpoint {client.base_url} serves {', '.join(seen.names)}, not {model}: {refusal}",
        cure=f"Run `twofold models export{again} --to FOLDER --for vllm`, and start the endpoint as its serve.sh does.",
    )


def _not_loaded(client: httpx.Client, adapter: Adapter, name: str) -> str:
    """Let the endpoint load an adapter; returns why it did not, or nothing."""
    if (Path(adapter.path) / WEIGHTS).is_dir():
        return "it was tuned in all its weights, and those are no adapter"
    body = {"lora_name": name, "lora_path": str(Path(adapter.path).resolve())}
    try:
        response = client.post("/load_lora_adapter", json=body)
    except httpx.HTTPError as error:
        raise EndpointUnreachable(f"the connection to {client.base_url} failed: {error}") from error
    # Another process may have loaded it since: the name is of these weights, so it is the right one.
    if response.status_code == 200 or name in probed(client, name).names:
        return ""
    if response.status_code in (404, 405) and "lora" not in response.text.casefold():
        return "it loads no adapters at run time"
    return f"it refused to load it ({response.status_code}): {reason(response)}"
