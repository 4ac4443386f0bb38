"""Records in the shapes that others use, turned into the project's own, with where they came from. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from twofold.errors import BadRecord, ConfigError
from twofold.identity import canonical_json, digest
from twofold.reading import Record, excerpt
from twofold.types import Json

Shape = Literal["messages", "sharegpt", "alpaca", "prompt-completion", "question-answer"]
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_QUESTIONS = ("question", "input", "query", "text", "utterance")
_ANSWERS = ("answers", "answer", "output", "outputs", "reference", "label", "intent", "completion", "response")
_PROMPTS = ("prompt", "instruction")
_OURS = (
    "id", "doc_ids", "sources", "spans", "grades", "answerable", "choices", "group", "origin", "maker", "parent", "at",
    "date", "split", "context",
)  # fmt: skip
TARGETS = ("question", "answers", "messages", *_OURS)
"""Fields that a column may be mapped to."""


def shape_of(fields: Iterable[str]) -> Shape | None:
    """The shape that field names tell, None for none that is known."""
    names = set(fields)
    if "conversations" in names or "conversation" in names:
        return "sharegpt"
    if "messages" in names:
        return "messages"
    if "instruction" in names and names & {"output", "response"}:
        return "alpaca"
    if "prompt" in names and names & {"completion", "response", "answer", "output"}:
        return "prompt-completion"
    if names & set(_QUESTIONS) and names & set(_ANSWERS):
        return "question-answer"
    return None


def converted(
    records: Iterable[Record], file: str, *, source: str, columns: Mapping[str, str] | None = None
) -> tuple[list[Json], list[BadRecord], dict[str, int]]:
    """The records of a file as the project's own, what could not be used, and how many have which shape.

    Args:
        records: As read.
        file: The file's name: stem of ids, and where errors are said to be.
        source: Digest of the file's bytes, kept with each record.
        columns: Our field → the file's column.

    Raises:
        ConfigError: a field that does not exist is mapped, or a column that no record has.
    """
    mapping = dict(columns or {})
    unknown = [field for field in mapping if field not in TARGETS]
    if unknown:
        raise ConfigError(f"--map {unknown[0]}=… names no field", cure=f"Fields: {', '.join(TARGETS)}.")
    out: list[Json] = []
    bad: list[BadRecord] = []
    shapes: dict[str, int] = {}
    seen: set[str] = set()
    for record in records:
        line = record.line or record.number
        if isinstance(record.value, BadRecord):
            bad.append(record.value)
            continue
        seen.update(record.value)
        value = {key: item for key, item in record.value.items() if item is not None}
        for field, column in mapping.items():
            if column in value:
                value[field] = value.pop(column) if column not in mapping else value[column]
        try:
            shape = _shape(value, mapping, file, line)
            made = _MAKERS[shape](value, _wrong(file, line))
        except BadRecord as error:
            bad.append(error)
            continue
        own = {key: value[key] for key in _OURS if key in value and key != "context"}
        origin = {"file": file, "line": line, "shape": shape, "sha256": source}
        out.append({"id": str(own.pop("id", "") or f"{file}:{line}"), **made, **own, "from": origin})
        shapes[shape] = shapes.get(shape, 0) + 1
    missing = [column for column in mapping.values() if column not in seen]
    if missing and seen:
        raise ConfigError(
            f"{file} has no column {missing[0]!r}", cure=f"Its columns: {excerpt(', '.join(sorted(seen)), 200)}."
        )
    return out, bad, shapes


def joined(held: Sequence[Json], new: Sequence[Json], file: str, *, over: bool = False) -> tuple[list[Json], int]:
    """`new` put behind what is held; records that are there already are left out. Returns all, and how many came in.

    Args:
        held: Records of the project's file.
        new: Imported ones.
        file: The project's file, for errors.
        over: Let an imported record take the place of another one of the same id.

    Raises:
        BadRecord: an id is held with other content, and `over` is false.
    """
    places = {str(value["id"]): number for number, value in enumerate(held) if "id" in value}
    out, came = list(held), 0
    for value in new:
        at = places.get(value["id"])
        if at is None:
            places[value["id"]] = len(out)
            out.append(value)
            came += 1
        elif _content(out[at]) != _content(value):
            if not over:
                raise BadRecord(
                    f"the id {value['id']!r} is held with other content",
                    file=file,
                    line=at + 1,
                    cure="Import into another file, map another column to id, or replace it with --replace.",
                )
            out[at] = value
            came += 1
    return out, came


def _content(value: Json) -> str:
    return digest("record", canonical_json({key: item for key, item in value.items() if key != "from"}))


def _wrong(file: str, line: int) -> Callable[..., BadRecord]:
    return lambda message, cure=None: BadRecord(message, file=file, line=line, cure=cure)


def _shape(value: Json, mapping: Mapping[str, str], file: str, line: int) -> Shape:
    mapped = {"question", "answers"} & set(mapping)
    shape = "question-answer" if mapped else "messages" if "messages" in mapping else shape_of(value)
    if shape is None:
        raise BadRecord(
            f"its shape is not known (columns {excerpt(', '.join(value), 120) or 'none'})",
            file=file,
            line=line,
            cure="Say which column is which: --map question=COLUMN --map answers=COLUMN.",
        )
    return shape


def _first(value: Json, names: Sequence[str]) -> Any:
    return next((value[name] for name in names if name in value and value[name] not in ("", [])), None)


def _turns(turns: Any, wrong: Callable[..., BadRecord], role: str, content: str) -> Json:
    """A conversation whose last turn is the answer."""
    if isinstance(turns, str):
        import json

        try:
            turns = json.loads(turns)
        except ValueError as error:
            raise wrong("its messages are no JSON list", "Write them as a JSON list in the cell.") from error
    if not isinstance(turns, list) or not all(isinstance(t, dict) for t in turns):
        raise wrong("its messages are no list of turns")
    made = []
    for number, turn in enumerate(turns, 1):
        name = _ROLES.get(str(turn.get(role, turn.get("role"))))
        text = turn.get(content, turn.get("content"))
        if name is None or not isinstance(text, str):
            raise wrong(f'turn {number} needs "{role}" (one of {", ".join(_ROLES)}) and "{content}" as text')
        made.append({"role": name, "content": text})
    if len(made) < 2 or made[-1]["role"] != "assistant" or made[-2]["role"] != "user":
        raise wrong(
            "the conversation does not end with a question and its answer",
            "Take out what follows the last answer, or the example.",
        )
    return {"messages": made[:-1], "answers": [made[-1]["content"].strip()]}


def _messages(value: Json, wrong: Callable[..., BadRecord]) -> Json:
    answers = _first(value, _ANSWERS)
    if answers is not None:
        return {"messages": value["messages"], "answers": _listed(answers, wrong)}
    return _turns(value["messages"], wrong, "role", "content")


def _sharegpt(value: Json, wrong: Callable[..., BadRecord]) -> Json:
    made = _turns(value.get("conversations", value.get("conversation")), wrong, "from", "value")
    if isinstance(value.get("system"), str) and value["system"].strip() and made["messages"][0]["role"] != "system":
        made["messages"].insert(0, {"role": "system", "content": value["system"].strip()})
    return made


def _alpaca(value: Json, wrong: Callable[..., BadRecord]) -> Json:
    asked = _with_context(value["instruction"], value.get("input"), wrong)
    return {"question": asked, "answers": _listed(_first(value, ("output", "response")), wrong)}


def _prompt(value: Json, wrong: Callable[..., BadRecord]) -> Json:
    answers = _listed(_first(value, ("completion", "response", "answer", "output")), wrong)
    if isinstance(value["prompt"], list):
        return {"messages": value["prompt"], "answers": answers}
    return {"question": _with_context(value["prompt"], None, wrong), "answers": answers}


def _question(value: Json, wrong: Callable[..., BadRecord]) -> Json:
    asked = _with_context(_first(value, _QUESTIONS), value.get("context"), wrong)
    answers = _first(value, _ANSWERS)
    if isinstance(answers, dict):  # as SQuAD writes them
        answers = answers.get("text", [])
    if answers in (None, [], "") and str(value.get("answerable", value.get("is_impossible", ""))):
        declined = str(value.get("answerable", "")).lower() == "false"
        declined = declined or str(value.get("is_impossible", "")).lower() == "true"
        if declined:
            return {"question": asked, "answers": [], "answerable": False}
    return {"question": asked, "answers": _listed(answers, wrong)}


def _with_context(asked: Any, context: Any, wrong: Callable[..., BadRecord]) -> str:
    if not isinstance(asked, str) or not asked.strip():
        raise wrong("the question is empty or no text", "Fill it, or take the row out.")
    if context is None or (isinstance(context, str) and not context.strip()):
        return asked.strip()
    parts = context if isinstance(context, list) else [context]
    if not all(isinstance(part, str) for part in parts):
        raise wrong("its context is no text")
    return "\n\n".join([asked.strip(), *(part.strip() for part in parts)])


def _listed(answers: Any, wrong: Callable[..., BadRecord]) -> list[str]:
    items = answers if isinstance(answers, list) else [answers]
    made = [canonical_json(i) if isinstance(i, (dict, list)) else str(i).strip() for i in items if i is not None]
    if not any(made):
        raise wrong("it has no answer", 'Fill it in, say "answerable": false, or take the row out.')
    return [text for text in made if text]


_MAKERS: Mapping[Shape, Callable[[Json, Callable[..., BadRecord]], Json]] = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt-completion": _prompt,
    "question-answer": _question,
}
