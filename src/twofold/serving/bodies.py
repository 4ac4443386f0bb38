"""The bodies of requests, checked strictly: an unknown parameter is refused by name. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from twofold.types import Message

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "background": (False,),
    "best_of": (1,),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "include": ([],),
    "logit_bias": ({},),
    "logprobs": (False, 0),
    "modalities": (["text"],),
    "parallel_tool_calls": (True, False),
    "presence_penalty": (0,),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "top_p": (1,),
    "truncation": ("disabled",),
}
"""Parameters of the OpenAI API that are not supported → values by which they change nothing, which are accepted."""
UNREAD = frozenset(["metadata", "prompt_cache_key", "safety_identifier", "user"])
"""Parameters by which a client names its own users and requests: accepted, and never read. Who asks is whoever's key it
is; under access control a name that a caller could choose would open others' documents."""


def _encodable(text: str) -> str:
    # JSON can spell half of a surrogate pair, which is no character: no tokenizer takes it.
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("half of a surrogate pair is no text")
    return text


Text = Annotated[str, AfterValidator(_encodable)]
"""A string that is text."""
Name = Annotated[str, AfterValidator(_encodable), Field(min_length=1, max_length=500)]
_REPORTED = 10
"""Most unknown parameters that are reported."""


def _few(values: Any) -> Any:
    if isinstance(values, dict) and len(values) > FIELDS:
        raise ValueError(f"there are {len(values)} fields, and at most {FIELDS} are taken")
    return values


FIELDS = 1000
"""Most metadata fields of a document."""
Fields = Annotated[dict[Name, Text], BeforeValidator(_few)]


class Body(BaseModel):
    """Parent of all bodies; null stands for a parameter that is not there."""

    # Strict: "1" or true for a number is a client's mistake. Python's JSON reads NaN, and no reply could hold it.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _drop_neutral(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        known = {name if field.alias is None else field.alias for name, field in cls.model_fields.items()}
        unknown = (key for key in values if key not in known and key not in UNREAD and not _neutral(key, values[key]))
        # One of them would do; each takes a kilobyte to report, and a body has room for a million.
        wrong = set(islice((key for key in unknown if values[key] is not None), _REPORTED))
        return {key: value for key, value in values.items() if value is not None and (key in known or key in wrong)}


def _neutral(key: str, value: Any) -> bool:
    return any(type(value) is type(same) and value == same for same in NEUTRAL.get(key, ())) or (
        # 1.0 for 1 is neutral, true for 1 is not: in Python both are equal to 1.
        isinstance(value, float) and value in [same for same in NEUTRAL.get(key, ()) if type(same) is int]
    )


_PARTS = {
    "image_url": "pictures are",
    "input_image": "pictures are",
    "input_audio": "sound is",
    "file": "files are",
    "input_file": "files are",
    "refusal": "refusals are",
}
"""Types of parts that the OpenAI API has and that are not supported → what they are."""


class TextPart(Body):
    """A part of a message; pictures and sound are not supported."""

    type: Literal["text", "input_text", "output_text"]
    text: Text
    annotations: list[Any] = []
    """Of an earlier answer; not read, as are the fields after it."""
    citations: list[Any] = []
    logprobs: list[Any] = []

    @model_validator(mode="before")
    @classmethod
    def _refuse_others(cls, values: Any) -> Any:
        kind = values.get("type") if isinstance(values, dict) else None
        if isinstance(kind, str) and kind in _PARTS:
            # Said before the field's own check, whose message would only list the kinds that are taken.
            raise ValueError(f"{_PARTS[kind]} not supported, only text is")
        return values


class ChatMessage(Body):
    """A turn of a conversation. Fields that answers have (``citations``) may come back, and are not read."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(max_length=1000, fail_fast=True)]
    name: str = ""
    """Not read."""
    type: Literal["message"] = "message"
    """As `/v1/responses` has it."""
    citations: list[Any] = []
    """Of an earlier answer, which comes back as it was sent; not read, as are the fields after it."""
    annotations: list[Any] = []
    twofold: dict[str, Any] = {}
    refusal: str = ""
    id: str = ""
    status: str = ""

    @model_validator(mode="before")
    @classmethod
    def _refuse_tools(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        # Likewise before the fields: a tool's message lacks `content`, which is not the trouble.
        if values.get("type", "message") not in ("message", None):
            raise ValueError("only messages are supported: no tool calls, references or reasoning")
        if values.get("role") in ("tool", "function") or values.get("tool_calls") or values.get("function_call"):
            raise ValueError("tools are not supported")
        return values


def _small(schema: dict[str, Any]) -> dict[str, Any]:
    # Checking a schema takes seconds a megabyte, and so does the grammar that is made of it.
    letters = 0
    for number, part in enumerate(_parts(schema)):
        if number >= SCHEMA_PARTS:
            raise ValueError(f"the schema has more than {SCHEMA_PARTS} parts")
        words = part if isinstance(part, dict) else [part] if isinstance(part, str) else ()
        letters += sum(len(_encodable(word)) for word in words)
        if letters > SCHEMA_LETTERS:
            raise ValueError(f"the words of the schema have more than {SCHEMA_LETTERS} letters")
    return schema


def _parts(value: Any) -> Iterator[Any]:
    """All values in a value; a stack instead of recursion, for it may be nested as deep as the caller likes."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, dict | list):
            waiting += part.values() if isinstance(part, dict) else part


SCHEMA_PARTS = 5000
"""Most values in a JSON schema: objects, lists, words and numbers."""
SCHEMA_LETTERS = 120_000
"""Most letters of all words in a JSON schema together; a pattern of so many is compiled in half a second."""
Schema = Annotated[dict[str, Any], AfterValidator(_small)]


class JsonSchema(Body):
    """A named JSON schema."""

    name: str = "answer"
    description: str = ""
    schema_: Schema = Field(alias="schema")
    strict: bool = True
    """Taken from clients that send it; answers satisfy the schema in either case."""


class ResponseFormat(Body):
    """The form of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _needs_schema(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema is needed with the type json_schema, and refused with another")
        return self


class StreamOptions(Body):
    """Options of a stream."""

    include_usage: bool = False
    """Send the tokens spent in a last event."""
    include_obfuscation: Literal[False] = False


# The API's own range: 64 bits.
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000)]
Temperature = Annotated[float, Field(ge=0, le=2)]
Conditions = Annotated[list[Text], Field(max_length=20, fail_fast=True)]
"""Conditions on the metadata of the documents that may be found, such as ``price < 30``."""
Stop = Annotated[Name | Annotated[list[Name], Field(max_length=4, fail_fast=True)], Field()]


class ChatBody(Body):
    """`POST /v1/chat/completions`."""

    model: Name
    messages: list[ChatMessage] = Field(min_length=1, max_length=1000, fail_fast=True)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(default=1, ge=1, le=8)
    stop: Stop | None = None
    seed: Seed | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Temperature | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    where: Conditions = []

    @model_validator(mode="after")
    def _needs_logprobs(self) -> ChatBody:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs = true")
        return self

    @property
    def limit(self) -> int | None:
        """Most tokens of the answer, by either name."""
        return self.max_completion_tokens or self.max_tokens


class CompletionBody(Body):
    """`POST /v1/completions`: the prompt is asked as one question."""

    model: Name
    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=16, fail_fast=True)]
    logprobs: int | None = Field(default=None, ge=0, le=5)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(default=1, ge=1, le=8)
    stop: Stop | None = None
    seed: Seed | None = None
    max_tokens: Tokens | None = None
    temperature: Temperature | None = None
    where: Conditions = []


class TextFormat(Body):
    """The form of an answer of `/v1/responses`."""

    type: Literal["text", "json_object", "json_schema"]
    name: str = "answer"
    description: str = ""
    schema_: Schema | None = Field(default=None, alias="schema")
    strict: bool = True
    """Taken from clients that send it; answers satisfy the schema in either case."""

    @model_validator(mode="after")
    def _needs_schema(self) -> TextFormat:
        if (self.type == "json_schema") != (self.schema_ is not None):
            raise ValueError("schema is needed with the type json_schema, and refused with another")
        return self


class TextSettings(Body):
    """Settings of the text of `/v1/responses`."""

    format: TextFormat | None = None


class ResponseBody(Body):
    """`POST /v1/responses`, in the part that plain questions use."""

    model: Name
    input: Text | Annotated[list[ChatMessage], Field(min_length=1, max_length=1000, fail_fast=True)]
    instructions: Text | None = None
    stream: bool = False
    max_output_tokens: Tokens | None = None
    temperature: Temperature | None = None
    text: TextSettings | None = None
    where: Conditions = []


class OwnerTurn(Body):
    """A turn before a question of `twofold ask`, as its ``--history`` has it."""

    role: Literal["system", "user", "assistant"]
    content: str


class OwnerBody(Body):
    """`POST /local/ask`: the options of `twofold ask`."""

    text: str
    history: list[OwnerTurn] = []
    arm: str = ""
    model: str = ""
    user: str = ""
    groups: list[str] = []
    where: list[str] = []

    @property
    def turns(self) -> tuple[Message, ...]:
        """The turns before the question."""
        return tuple(Message(role=turn.role, content=turn.content) for turn in self.history)


class EmbeddingBody(Body):
    """`POST /v1/embeddings`."""

    model: Name
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=2048, fail_fast=True)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)


class RetrieveBody(Body):
    """`POST /v1/retrieve`: the passages that an answer would be given with."""

    query: Text = Field(min_length=1)
    model: Name = "default"
    """Arm whose search it is."""
    messages: list[ChatMessage] = Field(default=[], max_length=1000, fail_fast=True)
    """The conversation before the query."""
    k: int | None = Field(default=None, ge=1, le=100)
    where: Conditions = []


class FeedbackHit(Body):
    """A passage that the answer was given with: a citation of the answer, or a passage of `/v1/retrieve`."""

    document: Name
    start: int = Field(default=0, ge=0)
    end: int = Field(default=0, ge=0)
    quote: Text = ""
    title: Text = ""


class FeedbackBody(Body):
    """`POST /v1/feedback`: what a person says of an answer."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=1000, fail_fast=True)
    """The conversation up to the question."""
    answer: Text
    rating: Literal["up", "down"] | None = None
    correction: Text = ""
    """The answer it should have been."""
    hits: list[FeedbackHit] = Field(default=[], max_length=100, fail_fast=True)
    conversation: Text = Field(default="", max_length=200)
    """Groups the turns of one conversation."""

    @model_validator(mode="after")
    def _says_something(self) -> FeedbackBody:
        if self.rating is None and not self.correction.strip():
            raise ValueError("neither a rating nor a correction is there")
        return self


# No "+" and no ":": `pushed` puts readers before the id with these.
_ID = "[A-Za-z0-9][A-Za-z0-9._/-]{0,199}"


def _plain(name: str) -> str:
    if not re.fullmatch(_ID, name):
        raise ValueError("an id has letters, digits, dots, dashes, underscores and slashes, 200 at most, no mark first")
    return name


class DocumentBody(Body):
    """`POST /v1/documents` and `PUT /v1/documents`."""

    id: Annotated[str, AfterValidator(_plain), Field(json_schema_extra={"pattern": f"^{_ID}$"})]
    """Letters, digits, dot, dash, underscore and slash; under access control its readers are put before it."""
    text: Text = Field(min_length=1)
    title: Text = ""
    metadata: Fields = {}
    readers: Annotated[list[Name], Field(max_length=100, fail_fast=True)] | None = None
    """Users and groups that may read it; needed under access control, and each must be the caller's."""
    version: str = ""
    """With PUT: the version that is replaced; another one at hand is a conflict."""
