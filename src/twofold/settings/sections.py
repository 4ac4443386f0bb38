"""The sections of `twofold.toml` and what they accept."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from twofold.errors import BadFilter
from twofold.metadata.conditions import conditions, written
from twofold.plugins.presets import PRESETS
from twofold.prompts import Template
from twofold.types import Json

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_DEFAULT = Template()


class Section(BaseModel):
    """Parent of all sections: strict and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _default_names(cls, values: Any) -> Any:
        """A part given by its options only keeps the default plugin's name."""
        if not isinstance(values, dict):
            return values
        filled = dict(values)
        for key, field in cls.model_fields.items():
            if isinstance(field.default, Part) and isinstance(filled.get(key), dict):
                filled[key] = {"name": field.default.name, **filled[key]}
        return filled


class Part(Section):
    """A plugin by name with its own options (validated by the plugin, see `protocols.options`)."""

    name: str
    options: Json = Field(default_factory=dict)


class MetricPart(Part):
    """A metric, given as its name or as ``{name, options}``; written as its name where it has no options."""

    @model_validator(mode="before")
    @classmethod
    def _take_a_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_serializer
    def _write_briefly(self) -> str | Json:
        return {"name": self.name, "options": self.options} if self.options else self.name

    def __str__(self) -> str:
        """The name, under which scores are shown."""
        return self.name


class DocumentsSection(Section):
    """Paths of documents, and how documents are read and split into chunks."""

    paths: tuple[str, ...] = ("data/documents*",)
    """Files, folders or globs, relative to the project."""
    exclude: tuple[str, ...] = ()
    """Patterns of file names to skip unless `paths` names the file; hidden files and ``examples*`` are skipped."""
    ids_from: str = ""
    """Folder below which the path of a plain file is its document's id, so that the id stays when the folder moves:
    with ``data/documents`` the file ``data/documents/hr/leave.md`` is ``hr/leave.md``. Empty: the project."""
    max_mib: float = Field(default=32.0, gt=0, le=1_048_576)
    """A file (after decompression) larger than this is refused, in MiB; so is one with more text than this."""
    max_seconds: float = Field(default=60.0, gt=0)
    """Time limit for reading one file, in seconds."""
    max_memory_mib: int = Field(default=1024, ge=128)
    """Memory that reading one file may take, in MiB."""
    passwords: dict[str, str] = Field(default_factory=dict)
    """Pattern of file names → password, or ``env:NAME`` for the environment variable that holds it."""
    encodings: dict[str, str] = Field(default_factory=dict)
    """Pattern of file names → encoding of text files that are neither UTF-8 nor marked; it is never guessed."""
    ocr: bool = False
    """Read pages that are pictures by character recognition (extra ``ocr``; seconds a page)."""
    chunker: Part = Part(name="headings")


class _KindSection(Section):
    """A section whose keys, beside those it declares, are the options of the plugin that ``kind`` names."""

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        declared = {key: value for key, value in values.items() if key in cls.model_fields}
        rest = {key: value for key, value in values.items() if key not in cls.model_fields}
        options = declared.get("options", {})
        return {**declared, "options": {**options, **rest} if isinstance(options, dict) else options}


class SourceSection(_KindSection):
    """A source of documents, ``[sources.NAME]``: NAME is the collection of its documents and begins their ids.

    What stands in the section beside these keys are the options of its kind.
    """

    kind: str
    """Name of the source plugin: ``folder``, ``web``, ``git``, ``sql``, ``http``."""
    description: str = ""
    """Content of the source in words; the rewriter ``route`` chooses sources by it."""
    metadata: dict[str, str] = Field(default_factory=dict)
    """Default metadata fields of the source's documents."""
    readers: tuple[str, ...] | None = None
    """Users and groups that may read the source's documents, unless a document names its own readers."""
    options: Json = Field(default_factory=dict)
    """Options of the plugin."""


class ToolSection(_KindSection):
    """A live source, ``[tools.NAME]``: asked while a question is answered, by the retriever ``agentic``."""

    kind: str
    """Name of the tool plugin: ``sql``, ``http``."""
    description: str = ""
    """Content of the tool's answers in words; the model chooses tools by it."""
    readers: tuple[str, ...] | None = None
    """Users and groups that may see the tool's answers; under access control, nobody when absent."""
    options: Json = Field(default_factory=dict)
    """Options of the plugin, which stand in the section beside these keys."""


class ExamplesSection(Section):
    """Paths of examples, and how examples are split."""

    paths: tuple[str, ...] = ("data/examples*",)
    split_by: Literal["question", "document", "time", "given"] = "document"
    """Unit of splitting: a claim about the future. ``given`` uses the records' own `split` (their dev part is test)."""
    train: float = Field(default=0.5, ge=0, le=1)
    dev: float = Field(default=0.12, ge=0, le=1)
    test: float = Field(default=0.38, gt=0, le=1)
    reserve: float = Field(default=0.0, ge=0, le=1)
    """Share that stays sealed until `twofold study --final`."""
    seed: int = 7
    limit: int = Field(default=0, ge=0)
    """Use at most this many examples, drawn by seed, for training, dev and test together, and as large a share of
    those made for training; 0 for all."""
    on_leak: Literal["error", "drop"] = "drop"
    """Treatment of a training example that is (nearly) a test example."""
    near: Literal["drop", "keep"] = "drop"
    """Treatment of a training example whose input is nearly a test question's, and whose answer is alike."""


class RetrievalSection(Section):
    """The stages of retrieval: rewriters → retriever → rerankers → budget."""

    preset: Literal["naive", "advanced", "agentic"] = "naive"
    """Stages unless you name them: one hybrid search, a search that understands follow-ups, or a loop."""
    rewriters: tuple[Part, ...] = ()
    """Stages on the query, in order; several queries are searched each and fused."""
    retriever: Part = Part(name="hybrid")
    """Search plugin: one leg, several legs fused, or a loop."""
    rerankers: tuple[Part, ...] = ()
    """Stages on the passages found, in order."""
    depth: int = Field(default=40, ge=1, le=1000)
    """Passages handed to the rerankers (where there are any); never fewer than shown."""
    budget: int = Field(default=0, ge=0)
    """Tokens (the embedder's) that all passages shown may have together, the first apart; 0: no limit."""
    embedder: Part = Part(name="minilm")
    index: Part = Part(name="lancedb")
    k: int = Field(default=3, ge=1, le=100)
    """Passages shown."""
    risk: float = Field(default=0.0, ge=0, lt=1)
    """Highest tolerated share of answers whose passages lack the answer. The abstention threshold is
    calibrated to it on dev, which needs unanswerable questions. 0 disables."""
    where: tuple[str, ...] = ()
    """Conditions on the metadata of documents that may be found: ``lang in de, en``; see the how-to on retrieval."""

    @field_validator("where")
    @classmethod
    def _reads(cls, where: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(written(conditions(where)))
        except BadFilter as error:
            raise ValueError(f"{error.message}. {error.cure}") from error

    @model_validator(mode="before")
    @classmethod
    def _lay_over_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        preset = PRESETS.get(str(values.get("preset", "naive")), {})
        retriever = values.get("retriever")
        # Options without a name are for the preset's own retriever.
        if isinstance(retriever, dict) and "name" not in retriever:
            values = {**values, "retriever": {**preset.get("retriever", {}), **retriever}}
        return {**preset, **values}

    @property
    def pipeline(self) -> Json:
        """The options of the retriever ``pipeline`` that this section describes."""
        return self.model_dump(mode="json", include={"rewriters", "retriever", "rerankers", "depth", "budget"})


class GenerationSection(Section):
    """The generator that writes the answers."""

    generator: Part = Part(name="local")
    max_tokens: int = Field(default=48, ge=1)
    batch: int = Field(default=64, ge=1)
    """Number of answers generated and committed at a time."""
    json_schema: str | Json = Field(default="", alias="schema")
    """JSON schema that every answer satisfies: a file relative to the project, or an inline table. Answers of `ask` and
    of studies are held to it while they are written; training, and its dev evaluation, do not use it."""
    schema_for: Literal["every arm", "schema"] = "every arm"
    """Arms that `schema` holds: every arm, or those with the part ``schema``, such as ``ft+schema``. Without `schema`
    their answers are held to what the training examples' answers have in common, or to their labels."""

    @model_serializer(mode="wrap")
    def _write_as_given(self, write: SerializerFunctionWrapHandler) -> Json:
        return {"schema" if name == "json_schema" else name: value for name, value in write(self).items()}


class ModelSection(GenerationSection):
    """A further model, ``[models.NAME]``, of arms called ``NAME/…``; what is not stated is as in ``[generation]``."""

    @model_serializer(mode="wrap")
    def _write_as_given(self, write: SerializerFunctionWrapHandler) -> Json:
        values: Json = {"schema" if name == "json_schema" else name: value for name, value in write(self).items()}
        stated = {"schema" if name == "json_schema" else name for name in self.model_fields_set}
        # A record then shows what a model has of its own, and reading it back inherits the rest again.
        return {name: value for name, value in values.items() if name in stated}


class TuningSection(Section):
    """Training of adapters."""

    trainer: Part = Part(name="lora")
    methods: tuple[str | Part, ...] = ()
    """Trainers to compare, by name or with options of their own; a name alone takes those of `trainer` that mean the
    same there. All are measured on dev; arms and studies use the best. Empty: `trainer` alone."""
    embedder: Part = Part(name="contrastive")
    """Trainer of the embedder (`twofold tune --what embedder`)."""
    answers: Literal["examples", "retrieval"] = "examples"
    """Source of the training answers: the training examples, or the untuned retrieval arm's answers to their
    questions (self-distillation). Dev and test keep their own."""
    variants: int = Field(default=4, ge=1)
    """Open-book rows are made this many times with other distractors and order, one variant an epoch."""
    unanswerable: float = Field(default=0.1, ge=0, lt=1)
    """Share of open-book rows without the gold passage, answered by the abstention text (RAFT's 1 − P)."""
    cloze: int = Field(default=2, ge=0)
    """Cloze questions made from each context of the open-book rows, without labels (see `examples.cloze`)."""
    use: str = ""
    """Answer with this tuned model (``champion``, another alias or an id) in the arm it was tuned for, instead of
    training on the examples at hand."""
    gate: Literal["enforce", "report", "off"] = "enforce"
    """The forgetting gate: refuse an adapter that loses more general ability than allowed (``enforce``), only
    report the loss (``report``), or measure nothing and merge nothing back (``off``)."""
    max_forgetting: float = Field(default=0.02, ge=0, le=1)
    """Drop of general ability, and of refusing and abstaining, that the gate allows where its noise floor is lower."""
    merge_back: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.8, 0.6, 0.4, 0.2)
    """Scales of the tuned change to try if the whole change forgets too much, largest first; empty: none."""
    merge_keep: float = Field(default=0.98, ge=0, le=1)
    """Share of the dev gain that merging back should keep."""
    merge_drop: float = Field(default=0.005, ge=0, le=1)
    """Drop of general ability that merging back accepts."""
    seed: int = 0


class RetrainingSection(Section):
    """Triggers of `twofold tune --if-due`; any trigger suffices."""

    min_new_examples: int = Field(default=0, ge=0)
    """Number of new usable examples, outside the test split, that the champion did not learn from; 0: no trigger."""
    max_age_days: float = Field(default=0.0, ge=0)
    """Days since the champion was made; 0: no trigger."""
    on: tuple[Literal["base", "template", "gone", "alarm"], ...] = ("base", "template")
    """Changes that trigger: new base weights, a new prompt template, removal of examples it learned from, and an open
    proposal of `twofold watch` to tune again."""


class StudySection(Section):
    """Arms to compare, metrics, constraints and sample sizes."""

    arms: tuple[str, ...] = ("base", "prompt", "rag", "ft", "ft+rag")
    """Arms to compare: ``base``, ``linear``, or parts joined by ``+`` in the order prompt or optimised,
    ft, rag or whole, schema, such as ``prompt+rag``; see the how-to page on arms."""
    diagnostics: tuple[str, ...] = ("oracle",)
    metric: MetricPart = MetricPart(name="token_f1")
    """Metric that decides the verdict: a name, or ``{ name = "json_valid", options = { … } }``."""
    metrics: tuple[MetricPart, ...] = tuple(MetricPart(name=name) for name in ("exact_match", "contains", "rouge_l"))
    """Further metrics to report, each a name or ``{ name, options }``."""
    shots: int = Field(default=4, ge=1)
    """Few-shot examples of an arm with the part `prompt`; an `optimised` one starts from as many."""
    margin: float = Field(default=0.02, ge=0, lt=1)
    """Largest difference that does not matter to you: ties go to the simpler arm."""
    interaction_margin: float = Field(default=0.05, ge=0)
    """Shaded in the report: an interaction within ± this is small. It decides nothing."""
    level: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=5000, ge=200)
    ablation: bool = False
    """Measure and record the gain of each retrieval stage, on train and dev."""
    latency_sample: int = Field(default=40, ge=0)
    """Questions answered one at a time for latency: test questions, at an endpoint others where there are enough. 0
    skips it; where `max_latency_p95` is set, at least 72 are asked (at `level` .95), also with 0."""
    seed: int = 0
    seeds: int = Field(default=1, ge=1, le=20)
    """Training runs of each tuned arm, from the seed of [tuning] on; its score is their mean, as intervals know."""
    must_cite: bool = False
    """Constraint: answers must name their source."""
    min_cited: float = Field(default=0.5, gt=0, lt=1)
    """With `must_cite`: the share of answers that must be shown to cite a right document."""
    permissions: bool = False
    """Constraint: per-document permissions must hold (tuned weights cannot enforce them)."""
    max_latency_p95: float = Field(default=0.0, ge=0)
    """Constraint, seconds; 0 for none."""
    min_score: float = Field(default=0.0, ge=0, le=1)
    """Constraint: the score that an arm must be shown to reach, with its whole interval; 0 for none."""
    max_failed: float = Field(default=0.05, ge=0, le=1)
    """Constraint: an arm of which more than this share of the answers failed is not acceptable."""

    @model_serializer(mode="wrap")
    def _write_repeats(self, write: SerializerFunctionWrapHandler) -> Json:
        # Records and digests of studies with one training run stay what they were before there were more.
        return {name: value for name, value in write(self).items() if name != "seeds" or value > 1}

    @model_validator(mode="after")
    def _refuse_one_metric_with_two_sets_of_options(self) -> StudySection:
        for part, other in combinations((self.metric, *self.metrics), 2):
            if part.name == other.name and part.options and other.options and part != other:
                both = f"{part.options} and {other.options}"
                raise ValueError(
                    f"the metric {part.name!r} is named twice with different options: {both}; name it once, for its "
                    "scores are stored under its name"
                )
        return self

    @property
    def scored(self) -> tuple[MetricPart, ...]:
        """The deciding metric and those beside it, each once; a bare name is the same metric as one with options."""
        parts: dict[str, MetricPart] = {}
        for part in (self.metric, *self.metrics):
            if part.options or part.name not in parts:
                parts[part.name] = part
        return tuple(parts.values())

    @property
    def decides(self) -> MetricPart:
        """The deciding metric with the options it has anywhere."""
        return self.scored[0]


class AccessRule(Section):
    """Readers of documents that name no readers themselves."""

    documents: str
    """Shell pattern on a document's id or source; ``*`` crosses folders. The first matching rule applies."""
    readers: tuple[str, ...]
    """``group:NAME``, ``user:NAME``, ``NAME`` for either, or ``everyone``; an empty list means nobody."""


class AccessSection(Section):
    """Access control: readers of documents."""

    enabled: bool = False
    """Require a user or group in every request, and show only passages that the user or a group may read."""
    study_user: str = ""
    """User for studies and tuning."""
    study_groups: tuple[str, ...] = ()
    """Groups for studies and tuning: tuned arms answer only users who are in all of these groups."""
    rules: tuple[AccessRule, ...] = ()
    """Readers of documents where neither the document nor its source names readers."""


Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures by a private key, which only the provider has."""
_ISSUER = r"^(https://[^\s/?#]+|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?)(/[^\s?#]*)?$"


class OidcSection(Section):
    """An OpenID Connect provider, whose tokens are taken beside API keys, and by which browsers can log in."""

    issuer: str = Field(pattern=_ISSUER)
    """Its address, as the tokens name it; HTTPS, unless it is on this machine."""
    audience: str = Field(min_length=1)
    """What the tokens that programs send must be made for."""
    client_id: str = ""
    """Name under which the provider knows this server; enables the login of browsers."""
    client_secret_env: str = ""
    """Environment variable with the secret of that name, where the provider gave one."""
    login_scopes: tuple[str, ...] = ("openid",)
    """Scopes that a browser's login requests; some providers tell groups only with another one."""
    user_claim: str = "sub"
    """Claim with the user's name."""
    groups_claim: str = "groups"
    """Claim with the user's groups, a list; a claim in another is written with dots, ``realm_access.roles``."""
    scope_claim: str = "scope"
    """Claim that decides what they may do: words, or a list."""
    scopes: dict[str, Literal["ask", "curate", "admin"]] = Field(default_factory=dict)
    """Word of that claim → scope; who has none is refused. Empty: everybody may ask, and no more."""
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256", "PS256", "ES256", "EdDSA"), min_length=1)
    """Signatures that are taken."""
    leeway: float = Field(default=30.0, ge=0, le=600)
    """Seconds by which the provider's clock may differ."""


class ServingSection(Section):
    """The server, `twofold serve`."""

    arms: tuple[str, ...] = ()
    """Arms that are served beside the one that the verdict chose."""
    loaded: int = Field(default=2, ge=1)
    """Models whose weights are in memory at once; arms with the same weights share them."""
    queue: int = Field(default=64, ge=1)
    """Requests of an arm that may wait or run at once; more are refused until one ends."""
    seconds: float = Field(default=120.0, gt=0)
    """Time limit of an answer, waiting included."""
    grace: float = Field(default=30.0, ge=0)
    """Seconds that running answers have to end when the server is stopped."""
    max_body_mib: float = Field(default=4.0, gt=0, le=1024)
    """Largest body of a request, in MiB."""
    system_prompt: bool = False
    """Take a system message from the caller, which changes the prompt that was measured; else refuse such requests."""
    requests_per_minute: int = Field(default=0, ge=0)
    """Requests of a key in a minute, unless the key has a limit of its own; 0: any number."""
    tokens_per_day: int = Field(default=0, ge=0)
    """Tokens, read and written, of a key in 24 hours, unless the key has a limit of its own; 0: any number."""
    origins: tuple[Annotated[str, Field(pattern=r"^https?://[^\s/?#*]+$")], ...] = ()
    """Other sites whose pages may call the API, with a key: ``https://intranet.example``."""
    session_hours: float = Field(default=12.0, gt=0, le=8760)
    """Hours after which a browser has to log in again."""
    log: Literal["plain", "json"] = "plain"
    """Form of the log on stderr; ``json``: a line for each request, with what leads from an answer to its evidence."""
    oidc: OidcSection | None = None
    """Provider of identities; see `OidcSection`."""


class JudgeSection(Section):
    """The model that judges answers, `twofold judge`; see the how-to page on judges."""

    model: str = ""
    """Which of ``[models]`` judges; empty: the model of ``[generation]``."""
    mode: Literal["rubric", "pairwise"] = "rubric"
    """Mark each answer alone, or choose the better one of two."""
    rubric: str = ""
    """What makes an answer good: the text, or a file relative to the project; empty: a rubric of Twofold's."""
    references: bool = True
    """Show the judge the references of the examples."""
    constrained: bool = True
    """Hold replies to a JSON schema where the model can; false for an endpoint that refuses schemas."""
    max_tokens: int = Field(default=64, ge=8)
    """Longest reply of the judge, its reasoning included."""


class CostsSection(Section):
    """The use that costs are worked out for; see the how-to page on cost."""

    prices: str = ""
    """Table of prices, relative to the project; empty: `prices.csv` where there is one."""
    volume: float = Field(default=10_000.0, ge=1e-3, le=1e12, allow_inf_nan=False)
    """Answers a month."""
    months: float = Field(default=12.0, ge=1e-3, le=1e12, allow_inf_nan=False)
    """Months over which what is paid once is spread."""
    serving: Literal["auto", "hosted", "own"] = "auto"
    """How answers are paid: by tokens of a hosted model, or by seconds of your machine; ``auto``: as measured."""
    batched: bool = True
    """Count the seconds of answers made in batches, as the study made them; false: of one question at a time."""
    utilisation: float = Field(default=1.0, ge=1e-6, le=1)
    """Share of the machine's paid hours in which it works."""
    cached: bool = False
    """Pay tokens at the beginning of a prompt that an earlier prompt had, too, at the price of cached ones."""
    retrainings: float | None = Field(default=None, ge=0, le=1e12, allow_inf_nan=False)
    """Retrainings of each tuned arm a month; absent: as ``[retraining].max_age_days`` says."""
    updates: float = Field(default=0.0, ge=0, le=1e12, allow_inf_nan=False)
    """Updates of the documents a month; closed-book weights are trained again after each."""
    churn: float = Field(default=1.0, ge=0, le=1)
    """Share of the passages that an update changes, and that are embedded again."""
    hours_documents: float = Field(default=0.0, ge=0, le=1e12, allow_inf_nan=False)
    """Hours of people's work on the documents, once; for arms with retrieval."""
    hours_examples: float = Field(default=0.0, ge=0, le=1e12, allow_inf_nan=False)
    """Hours of work on training examples, once; for tuned arms."""
    hours_evaluation: float = Field(default=0.0, ge=0, le=1e12, allow_inf_nan=False)
    """Hours of work on test questions, once; for every arm."""
    hours_retraining: float = Field(default=0.0, ge=0, le=1e12, allow_inf_nan=False)
    """Hours of work on each retraining."""
    hours_month: float = Field(default=0.0, ge=0, le=1e12, allow_inf_nan=False)
    """Hours of upkeep a month, for every arm."""


class ProjectSection(Section):
    """Name and description."""

    name: str = "project"
    about: str = ""


class PromptSection(Section):
    """Wording; see `prompts.Template`."""

    closed: str = _DEFAULT.closed
    open: str = _DEFAULT.open
    passage: str = _DEFAULT.passage
    question: str = _DEFAULT.question
    abstention: str = _DEFAULT.abstention
    cite: Literal["first", "last", "none"] = "first"
    fence: Literal["none", "lines", "nonce", "datamark"] = _DEFAULT.fence
    withhold: bool = _DEFAULT.withhold
    support: float = Field(default=_DEFAULT.support, ge=0, le=1)
    about: float = Field(default=_DEFAULT.about, ge=0, lt=1)
