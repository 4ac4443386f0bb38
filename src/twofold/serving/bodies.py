"""The bodies of requests, checked strictly: an unknown parameter is refused by name. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

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


def _encodable(text: str) -> str:
    # JSON can spell half of a surrogate pair, which is no character: no tokenizer takes it.
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("half of a surrogate pair is no text")
    return text


Text = Annotated[str, AfterValidator(_encodable)]
"""A string that is text."""
Name = Annotated[str, AfterValidator(_encodable), Field(min_length=1, max_length=500)]


class Body(BaseModel):
    """Parent of all bodies; null stands for a parameter that is not there."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _drop_neutral(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {
            key: value
            for key, value in values.items()
            if value is not None and (key in cls.model_fields or not _neutral(key, value))
        }


def _neutral(key: str, value: Any) -> bool:
    return any(type(value) is type(same) and value == same for same in NEUTRAL.get(key, ())) or (
        isinstance(value, float) and value in [same for same in NEUTRAL.get(key, ()) if type(same) is int]
    )


class TextPart(Body):
    """A part of a message; pictures and sound are not supported."""

    type: Literal["text", "input_text", "output_text"]
    text: Text
    annotations: list[Any] = []
    """Of an earlier answer; not read."""


class ChatMessage(Body):
    """A turn of a conversation. Fields that answers have (``citations``) may come back, and are not read."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart]
    name: str = ""
    """Not read."""
    citations: list[Any] = []
    """Of an earlier answer; not read."""
    refusal: str = ""
    """Of an earlier answer; not read."""
    type: Literal["message"] = "message"
    """As `/v1/responses` has it."""


class JsonSchema(Body):
    """A named JSON schema."""

    name: str = "answer"
    description: str = ""
    schema_: dict[str, Any] = Field(alias="schema")
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


Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000)]
Temperature = Annotated[float, Field(ge=0, le=2)]
Conditions = Annotated[list[Text], Field(max_length=20)]
"""Conditions on the metadata of the documents that may be found, such as ``price < 30``."""
Stop = Annotated[Name | Annotated[list[Name], Field(max_length=4)], Field()]


class ChatBody(Body):
    """`POST /v1/chat/completions`."""

    model: Name
    messages: list[ChatMessage] = Field(min_length=1, max_length=1000)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(default=1, ge=1, le=8)
    stop: Stop | None = None
    seed: Seed | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Temperature | None = None
    response_format: ResponseFormat | None = None
    where: Conditions = []

    @property
    def limit(self) -> int | None:
        """Most tokens of the answer, by either name."""
        return self.max_completion_tokens or self.max_tokens


class CompletionBody(Body):
    """`POST /v1/completions`: the prompt is asked as one question."""

    model: Name
    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=16)]
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
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
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
    input: Text | Annotated[list[ChatMessage], Field(min_length=1, max_length=1000)]
    instructions: Text | None = None
    stream: bool = False
    max_output_tokens: Tokens | None = None
    temperature: Temperature | None = None
    text: TextSettings | None = None
    where: Conditions = []


class EmbeddingBody(Body):
    """`POST /v1/embeddings`."""

    model: Name
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)


class RetrieveBody(Body):
    """`POST /v1/retrieve`: the passages that an answer would be given with."""

    query: Text = Field(min_length=1)
    messages: list[ChatMessage] = []
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

    messages: list[ChatMessage] = Field(min_length=1, max_length=1000)
    """The conversation up to the question."""
    answer: Text
    rating: Literal["up", "down"] | None = None
    correction: Text = ""
    """The answer it should have been."""
    hits: list[FeedbackHit] = Field(default=[], max_length=100)
    conversation: Text = Field(default="", max_length=200)
    """Groups the turns of one conversation."""

    @model_validator(mode="after")
    def _says_something(self) -> FeedbackBody:
        if self.rating is None and not self.correction.strip():
            raise ValueError("neither a rating nor a correction is there")
        return self


class DocumentBody(Body):
    """`POST /v1/documents` and `PUT /v1/documents`."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$")
    """Letters, digits, dot, dash, underscore and slash."""
    text: Text = Field(min_length=1)
    title: Text = ""
    metadata: dict[Name, Text] = {}
    readers: list[Name] | None = None
    """Users and groups that may read it; needed under access control, and each must be the caller's."""
    version: str = ""
    """With PUT: the version that is replaced; another one at hand is a conflict."""
