"""Records in the shapes that others use, turned into the project's own, with where they came from. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Literal

from twofold.errors import BadRecord, ConfigError
from twofold.examples.loading import row_of
from twofold.examples.spelling import FIELDS, REFERENCES, answers_of, cell, is_declined, named_as_ours
from twofold.examples.turns import is_conversation, turns_of
from twofold.files.reading import Record, excerpt, kind, spelled
from twofold.hashing import canonical_json, digest
from twofold.types import Json, Message, Problem

Shape = Literal["messages", "sharegpt", "alpaca", "prompt-completion", "preference", "question-answer"]
_QUESTIONS = ("question", "input", "query", "text", "utterance")
"""Columns that hold the question in other data sets, the most telling first."""
_LABELS = ("label", "intent", "completion", "response")
_ANSWERS = (*REFERENCES, *_LABELS)
_COMPLETIONS = ("completion", "response", "answer", "output")
_OURS = (
    "id", "doc_ids", "sources", "spans", "grades", "answerable", "choices", "group", "origin", "maker", "parent", "at",
    "date", "split", "tests",
)  # fmt: skip
TARGETS = ("question", "answers", "messages", "context", *_OURS)
"""Fields that a column may be mapped to."""
_Wrong = Callable[..., BadRecord]


def shape_of(fields: Iterable[str]) -> Shape | None:
    """The shape that field names tell, None for none that is known."""
    names = set(named_as_ours(dict.fromkeys(fields)))
    # From the most telling field to the least: a preference has a prompt too, and a conversation may have an input.
    if names & {"chosen", "preferred_output"}:
        return "preference"
    if "conversations" in names or "conversation" in names:
        return "sharegpt"
    if "messages" in names:
        return "messages"
    if "instruction" in names and names & {"output", "response"}:
        return "alpaca"
    if "prompt" in names and names & set(_COMPLETIONS):
        return "prompt-completion"
    if names & set(_QUESTIONS) and names & set(_ANSWERS):
        return "question-answer"
    return None


def converted(
    records: Iterable[Record], file: str, *, source: str, columns: Mapping[str, str] | None = None
) -> tuple[list[Json], list[BadRecord], dict[str, int], list[str]]:
    """The records of a file as the project's own, what could not be used, how many have which shape, and idle columns.

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
        raise ConfigError(
            f"--map {unknown[0]}=…: unknown field {unknown[0]!r}", cure=f"Name one of the fields: {', '.join(TARGETS)}."
        )
    out: list[Json] = []
    bad: list[BadRecord] = []
    shapes: dict[str, int] = {}
    seen: set[str] = set()
    places: dict[str, Json] = {}
    for record in records:
        if isinstance(record.value, BadRecord):
            bad.append(record.value)
            continue
        seen.update(record.value)
        try:
            shape, value = _convert(record, file, mapping, source)
            first = places.setdefault(value["id"], value)
            if _content(first) != _content(value):
                message = f"the id {value['id']!r} is used twice, first in {_place(first)}"
                cure = "Give the records ids of their own, or map another column to id: --map id=COLUMN."
                raise _wrong(file, record)(message, cure)
        except BadRecord as error:
            bad.append(error)
            continue
        # The same record twice in a file is one example.
        if first is value:
            out.append(value)
            shapes[shape] = shapes.get(shape, 0) + 1
    missing = [column for column in mapping.values() if column not in seen]
    if missing and seen:
        raise ConfigError(
            f"{file} has no column {missing[0]!r}",
            cure=f"Name one of its columns: {excerpt(', '.join(sorted(seen)), 200)}.",
        )
    idle = named_as_ours(dict.fromkeys(sorted(seen - set(mapping.values())))).keys() - FIELDS
    return out, bad, shapes, sorted(idle)


def _convert(record: Record, file: str, mapping: Mapping[str, str], source: str) -> tuple[Shape, Json]:
    """A record's shape, and the project's own record of it, which the project's reader takes."""
    columns: Json = dict(record.value)  # type: ignore[arg-type]
    # From the columns as they were: two may be swapped, and one may be mapped to two fields.
    moved = {field: columns[column] for field, column in mapping.items() if column in columns}
    sources = set(mapping.values()) - mapping.keys()
    fields = {name: item for name, item in columns.items() if name not in sources} | moved
    fields = named_as_ours(fields)
    wrong = _wrong(file, record)
    value = {key: item for key, item in fields.items() if item is not None}
    shape = _shape(value, fields, mapping, wrong)
    # KTO's rows are labelled: an answer with a false label is one that must not be learned.
    unwanted = "kto_tag" if "kto_tag" in value else "label" if shape == "prompt-completion" else ""
    # As text: tables write a flag as a bool, a number or a word.
    if str(value.get(unwanted, "")).strip().lower() in ("false", "0", "0.0"):
        raise wrong(
            f'"{unwanted}" is {spelled(value[unwanted])}: the answer is marked as unwanted',
            "Take such records out, or leave them out with --lenient.",
        )
    converted_fields = _MAKERS[shape](value, wrong)
    ours = {key: value[key] for key in _OURS if key in value}
    line = record.line or record.number
    name = ours.pop("id", "")
    name = spelled(name) if isinstance(name, (str, int, float)) and not isinstance(name, bool) else name
    if not isinstance(name, str):
        raise wrong(f'"id" must be a string, not {kind(name)}', "Map another column to id: --map id=COLUMN.")
    origin = {"file": file, "line": line, "shape": shape, "sha256": source}
    out = {"id": name or f"{file}:{line}", **converted_fields, **ours, "from": origin}
    # Read as the project will read it: what imports today must not be refused by tomorrow's check.
    outcome = row_of(out, file, line).outcome
    if isinstance(outcome, Problem):
        raise wrong(outcome.message, outcome.cure)
    if outcome is None:
        raise wrong("the record has no answer", _NO_ANSWER)
    return shape, out


def joined(existing: Sequence[Json], new: Sequence[Json], file: str, *, over: bool = False) -> tuple[list[Json], int]:
    """`new` behind the `existing` records; those that exist already are left out. Returns all, and how many came in.

    Args:
        existing: Records of the project's file.
        new: Imported ones.
        file: The project's file, for errors.
        over: Let an imported record take the place of another one of the same id.

    Raises:
        BadRecord: an id is held with other content, and `over` is false.
    """
    places = {str(value["id"]): number for number, value in enumerate(existing) if "id" in value}
    out = list(existing)
    came = 0
    for value in new:
        at = places.get(value["id"])
        if at is None:
            places[value["id"]] = len(out)
            out.append(value)
            came += 1
        elif _content(out[at]) != _content(value):
            if not over:
                raise BadRecord(
                    f"the id {value['id']!r} of {_place(value)} already exists with different content",
                    file=file,
                    line=at + 1,
                    cure="Import into another file, map another column to id, or replace that record with --replace.",
                )
            out[at] = value
            came += 1
    return out, came


def _content(value: Json) -> str:
    return digest("record", canonical_json({key: item for key, item in value.items() if key != "from"}))


def _place(value: Json) -> str:
    return f"{value['from']['file']}:{value['from']['line']}"


def _wrong(file: str, record: Record) -> _Wrong:
    where = "" if record.line else f"record {record.number}: "
    return lambda message, cure=None: BadRecord(where + message, file=file, line=record.line or None, cure=cure)


_NO_ANSWER = 'Fill it in, say "answerable": false, or take the record out.'


def _shape(value: Json, fields: Json, mapping: Mapping[str, str], wrong: _Wrong) -> Shape:
    """The shape by the fields that are filled, else by all that the record names."""
    if {"question", "answers"} & set(mapping):
        return "question-answer"
    shape = "messages" if "messages" in mapping else shape_of(value) or shape_of(fields)
    if shape is None and "prompt" in value:
        raise wrong(f"the record has no answer (columns {excerpt(', '.join(fields), 120)})", _NO_ANSWER)
    if shape is None:
        raise wrong(
            f"the record's shape is unknown (columns {excerpt(', '.join(fields), 120) or 'none'})",
            "Say which column is which: --map question=COLUMN --map answers=COLUMN.",
        )
    return shape


def _messages(value: Json, wrong: _Wrong) -> Json:
    turns = _under_system(turns_of(value.get("messages"), wrong), value, wrong)
    if any(key in value for key in _ANSWERS) and (answers := _answers(value)):
        return {"messages": _plain(_ending_in_question(turns, wrong)), "answers": answers}
    return _answered(turns, wrong)


def _sharegpt(value: Json, wrong: _Wrong) -> Json:
    field = "conversations" if "conversations" in value else "conversation"
    return _answered(_under_system(turns_of(value.get(field), wrong, field=field), value, wrong), wrong)


def _alpaca(value: Json, wrong: _Wrong) -> Json:
    shown = [value[key] for key in ("input", "context") if key in value]
    question = _with_context(value.get("instruction"), shown, wrong)
    turns: list[Message] = []
    history = value.get("history") or []
    for pair in history if isinstance(history, list) else [history]:
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(isinstance(text, str) and text.strip() for text in pair)
        ):
            raise wrong('"history" must be a list of [question, answer]', "Correct it, or take the record out.")
        turns += [Message(role="user", content=pair[0]), Message(role="assistant", content=pair[1])]
    turns = list(_under_system((*turns, Message(role="user", content=question)), value, wrong))
    answers = _required(value, ("output", "response"), wrong)
    return (
        {"question": question, "answers": answers}
        if len(turns) == 1
        else {"messages": _plain(turns), "answers": answers}
    )


def _prompt(value: Json, wrong: _Wrong) -> Json:
    field = next((key for key in _COMPLETIONS if key in value), "completion")
    return _continued(value, field, wrong)


def _preference(value: Json, wrong: _Wrong) -> Json:
    """The chosen answer; where nothing is asked beside it, `chosen` is the whole conversation.

    OpenAI's names for it are ``preferred_output`` and, within ``input``, ``messages``.
    """
    if "preferred_output" in value:
        source = value.get("input")
        talk = source.get("messages") if isinstance(source, dict) else source
        return _continued({**value, "prompt": talk}, "preferred_output", wrong)
    talk = _first(value, ("prompt", "messages", "conversations", "conversation"))
    # TRL's implicit prompts: both completions are whole conversations, which begin alike.
    if talk is None and is_conversation(value.get("chosen")):
        return _answered(turns_of(value["chosen"], wrong, field="chosen"), wrong)
    if talk is None and "instruction" in value:
        shown = [value[key] for key in ("input", "context") if key in value]
        # It is in the question now: `_continued` would add it once more.
        value = {key: item for key, item in value.items() if key != "context"}
        talk = _with_context(value["instruction"], shown, wrong)
    elif talk is None:
        talk = _first(value, ("question", "input"))
    if talk is None:
        raise wrong(
            '"chosen" is no list of messages and has no prompt beside it: the question is missing',
            'Put the question into a column "prompt", or write "chosen" as a list of messages.',
        )
    return _continued({**value, "prompt": talk}, "chosen", wrong)


def _continued(value: Json, field: str, wrong: _Wrong) -> Json:
    """A prompt and its completion; each is text or a list of messages."""
    prompt, completion = value.get("prompt"), value.get(field)
    if isinstance(completion, dict) and set(completion) in ({"role", "content"}, {"from", "value"}):
        completion = [completion]
    if completion == []:
        raise wrong("the record has no answer", _NO_ANSWER)
    talk = is_conversation(prompt)
    if not talk and not is_conversation(completion):
        question = _with_context(prompt, [value["context"]] if "context" in value else [], wrong)
        turns = _under_system((Message(role="user", content=question),), value, wrong)
        answers = _required(value, (field,), wrong)
        return (
            {"question": question, "answers": answers}
            if len(turns) == 1
            else {"messages": _plain(turns), "answers": answers}
        )
    first = cell(prompt) if talk else [{"role": "user", "content": _with_context(prompt, [], wrong)}]
    if not is_conversation(completion):
        return {
            "messages": _plain(_ending_in_question(turns_of(first, wrong, field="prompt"), wrong)),
            "answers": _required(value, (field,), wrong),
        }
    then = cell(completion)
    # Some repeat the prompt at the beginning of the completion.
    shared = len(first) if then[: len(first)] == first else 0
    return _answered(_under_system(turns_of([*first, *then[shared:]], wrong), value, wrong), wrong)


def _question(value: Json, wrong: _Wrong) -> Json:
    field = next((name for name in _QUESTIONS if name in value and value[name] not in ("", [])), "question")
    question = value.get(field)
    _refuse_place_of_choice(value, wrong)
    if is_conversation(question):
        talk = _under_system(turns_of(question, wrong, field=field), value, wrong)
        return {"messages": _plain(_ending_in_question(talk, wrong)), "answers": _required(value, _ANSWERS, wrong)}
    if field == "input" and isinstance(question, (dict, list)):
        question = canonical_json(question)
    question_text = _with_context(question, [value["context"]] if "context" in value else [], wrong)
    turns = _under_system((Message(role="user", content=question_text),), value, wrong)
    turn_fields: Json = {"question": question_text} if len(turns) == 1 else {"messages": _plain(turns)}
    answers = _answers(value)
    flags = [str(value.get(key, "")).strip().lower() for key in ("answerable", "is_impossible")]
    if not answers and (
        flags[0] == "false" or flags[1] == "true" or any(is_declined(value.get(key)) for key in REFERENCES)
    ):
        return {**turn_fields, "answers": [], "answerable": False}
    if not answers:
        raise wrong("the record has no answer", _NO_ANSWER)
    return {**turn_fields, "answers": answers}


def _refuse_place_of_choice(value: Json, wrong: _Wrong) -> None:
    """Refuse a number that counts the choices: nobody can tell whether it counts from 0 or from 1."""
    choices, answer = cell(value.get("choices")), value.get("answer", value.get("label"))
    if not isinstance(choices, list) or not isinstance(answer, int) or isinstance(answer, bool):
        return
    if choices and str(answer) not in map(spelled, choices) and 0 <= answer <= len(choices):
        raise wrong(
            f"the answer {answer} is the place of a choice, and none of the choices",
            "Write the choice itself, such as "
            f"{excerpt(spelled(choices[min(answer, len(choices) - 1)]), 30)!r}, into the answer.",
        )


def _answers(value: Json) -> list[str]:
    """As the project's own files are read; where they name no answer, the first field that others use."""
    ours = dict.fromkeys(chain.from_iterable(answers_of(value[key], key) for key in REFERENCES if key in value))
    if ours:
        return list(ours)
    return next((texts for key in _LABELS if key in value and (texts := answers_of(value[key], key))), [])


def _required(value: Json, fields: Sequence[str], wrong: _Wrong) -> list[str]:
    answers = next((texts for key in fields if key in value and (texts := answers_of(value[key], key))), [])
    if not answers:
        raise wrong("the record has no answer", _NO_ANSWER)
    return answers


def _answered(turns: Sequence[Message], wrong: _Wrong) -> Json:
    """A conversation whose last message is the answer."""
    if len(turns) < 2 or turns[-1].role != "assistant":
        raise wrong(
            "the conversation does not end with a question and its answer",
            "Take out what follows the last answer, or take the record out.",
        )
    return {"messages": _plain(turns[:-1]), "answers": answers_of(turns[-1].content, "answer")}


def _ending_in_question(turns: Sequence[Message], wrong: _Wrong) -> Sequence[Message]:
    if not turns or turns[-1].role != "user":
        raise wrong(
            "the last message must be the user's where the answer stands in a field of its own",
            "Take out what follows the question, or the other field.",
        )
    return turns


def _under_system(turns: Sequence[Message], value: Json, wrong: _Wrong) -> Sequence[Message]:
    """The turns under the system message that stands in a column of its own."""
    text = next((value[key] for key in ("system", "system_prompt") if key in value), "")
    if not isinstance(text, str):
        raise wrong(f'"system" must be a string, not {kind(text)}')
    # The conversation's own system message goes before the column's.
    if not text.strip() or (turns and turns[0].role == "system"):
        return turns
    return (Message(role="system", content=text.strip()), *turns)


def _plain(turns: Sequence[Message]) -> list[Json]:
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def _first(value: Json, names: Sequence[str]) -> Any:
    return next((value[name] for name in names if name in value and value[name] not in ("", [])), None)


def _with_context(question: Any, shown: Sequence[Any], wrong: _Wrong) -> str:
    """The question, and under it what it is about; objects are JSON text."""
    if not isinstance(question, str):
        raise wrong(
            f"the question must be text, not {kind(question)}", "Map the column that holds it: --map question=COLUMN."
        )
    if not question.strip():
        raise wrong("the question is empty", "Fill it, or take the record out.")
    parts: list[str] = []
    for item in shown:
        if isinstance(item, list) and all(isinstance(part, str) for part in item):
            parts += item
        else:
            parts.append(canonical_json(item) if isinstance(item, (dict, list)) else spelled(item))
    return "\n\n".join(part.strip() for part in (question, *parts) if part.strip())


_MAKERS: Mapping[Shape, Callable[[Json, _Wrong], Json]] = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "prompt-completion": _prompt,
    "preference": _preference,
    "question-answer": _question,
}
