"""Options of the generator ``openai``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from twofold.plugins.protocols import Options
from twofold.types import Json


class OpenAIOptions(Options):
    """Options of the generator ``openai``."""

    model: str
    """Name of the model at the endpoint."""
    base_url: str = "https://api.openai.com/v1"
    """Address up to, and without, ``/chat/completions``; the answers are known by it and by the model's name."""
    weights: str = ""
    """Source string or name, on this machine, of the weights that the endpoint serves: arms are then tuned here, and
    the endpoint answers with each tuned model by its id (vLLM: as a LoRA adapter)."""
    replicas: tuple[str, ...] = ()
    """Further addresses that serve the same model by the same engine. They share the work and change no key."""
    check_model: bool = True
    """Let only endpoints answer that list the model as it was measured first; one that lists no details is believed."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable with the API key; it may be unset for endpoints that need none."""
    timeout: float = Field(default=60.0, gt=0)
    """Longest time for one request, in seconds."""
    retries: int = Field(default=4, ge=0)
    """Further attempts after the first."""
    backoff: float = Field(default=0.5, ge=0)
    """Upper limit of the first wait in seconds; doubled for each further attempt."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Most requests at the same time at one address; fewer while it refuses requests for its load."""
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    """Temperature; not sent to an endpoint that refuses the field, and the answers then have another key."""
    seed: int = 0
    """Seed of the random waits."""
    max_tokens_field: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    """Field for the token limit. ``auto``: ``max_tokens``, or the other one if the endpoint refuses that."""
    extra: Json = Field(default_factory=dict)
    """Further fields of the request body, for example ``{"reasoning_effort" = "low"}``."""
    price_per_million_prompt: float = Field(default=0.0, ge=0)
    """Price of a million prompt tokens in any currency, for the bill."""
    price_per_million_completion: float = Field(default=0.0, ge=0)
    """Price of a million completion tokens in the same currency."""

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        seen = {self.base_url.rstrip("/")}
        for address in self.replicas:
            if not address.startswith(("http://", "https://")):
                raise ValueError(f"replicas: {address!r} is no address; start it with http:// or https://")
            if address.rstrip("/") in seen:
                raise ValueError(f"replicas: {address!r} is named twice, or is base_url; name each address once")
            seen.add(address.rstrip("/"))
        return self
