"""Rows as token ids: the prompt through the model's own chat template, the completion, the end-of-turn token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from twofold import prompts
from twofold.errors import NothingToLearn, TrainingError
from twofold.models.adapter_layers import chat_template_of
from twofold.models.tokenizers import tokenizer_of
from twofold.text import sanitise
from twofold.training.packing import TrainingRow
from twofold.types import Message, Pair

LEAST_OF_LAST = 32
"""Tokens of the last message that stay before turns are taken away; in a short row a quarter of its room."""


class Encoder:
    """Tokenises as serving does: special tokens are in the text, none are added.

    Args:
        directory: Model directory.
        chat_template: Instead of the model's own.

    Raises:
        TrainingError: there is no chat template, or no tokenizer that can be read.
    """

    def __init__(self, directory: Path, *, chat_template: str = "") -> None:
        try:
            settings: dict[str, Any] = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
            self.tokenizer = tokenizer_of(directory)
        except Exception as error:  # tokenizers raises plain Exception
            raise TrainingError(
                f"the base model's tokenizer cannot be read: {error}",
                file=directory,
                cure="Choose a model that comes with tokenizer.json and tokenizer_config.json.",
            ) from error
        template = chat_template or chat_template_of(directory, settings)
        if not template:
            raise TrainingError(
                "the base model has no chat template",
                file=directory,
                cure="Set chat_template in [tuning.trainer.options] and [generation.generator.options], put a "
                "chat_template.jinja beside the weights, or choose an instruction-tuned model.",
            )
        self.template = template
        self.specials = {key: _text(settings.get(key)) for key in ("bos_token", "eos_token")}
        end = self.tokenizer.token_to_id(self.specials["eos_token"])
        if end is None:
            raise TrainingError("the tokenizer has no end-of-turn token", file=directory)
        self.end = int(end)
        added = self.tokenizer.get_added_tokens_decoder().values()
        self.controls = sanitise.control_tokens((one.content, one.special) for one in added)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a rendered prompt, ready for the completion."""
        text = prompts.chat_text(self.template, messages, self.specials, controls=self.controls)
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def row(self, pair: Pair, max_length: int) -> TrainingRow:
        """One training row of at most `max_length` tokens.

        A completion that leaves less than half the room to a long prompt loses its end (and the end-of-turn token). A
        prompt that is still too long keeps its turns and its instruction: the last message loses its beginning, and if
        that is not enough the oldest turns before it go. Only where an instruction alone leaves less than a quarter of
        the row to the completion, the instruction loses its end. Whatever is cut is said by the row.

        Raises:
            NothingToLearn: the completion is empty.
        """
        head = self.prompt(pair.messages)
        # A control token within an answer would end the turn, or begin another one, when the row is read.
        completion = sanitise.defused(pair.completion, self.controls)
        tail = [*self.tokenizer.encode(completion, add_special_tokens=False).ids, self.end]
        if not pair.completion.strip():
            raise NothingToLearn(f"example {pair.example!r}: the completion is empty, there is nothing to learn from")
        whole = len(tail)
        # The answer loses its end only to a prompt that has no more than half of the row.
        tail = tail[: max_length - min(len(head), max_length // 2)]
        room = max_length - len(tail)
        fitting = head if len(head) <= room else self._shortened(pair.messages, room)
        # The instruction stays whole as long as that leaves the answer a quarter of the row.
        if len(fitting) > room and max_length - len(fitting) >= max_length // 4:
            tail = tail[: max_length - len(fitting)]
        elif len(fitting) > room:
            fitting = self._shortened(pair.messages, room, instruction=True)
        # What is still too long keeps its end, which the completion follows.
        fitting = fitting[len(tail) - max_length :]
        return TrainingRow(
            ids=(*fitting, *tail),
            start=len(fitting),
            example=pair.example,
            prompt_cut=len(fitting) < len(head),
            answer_cut=len(tail) < whole,
        )

    def shortened(self, messages: Sequence[Message], room: int) -> list[int]:
        """The prompt within `room` tokens, cut as a training row's is."""
        head = self._shortened(messages, room)
        return head if len(head) <= room else self._shortened(messages, room, instruction=True)[-room:]

    def _shortened(self, messages: Sequence[Message], room: int, *, instruction: bool = False) -> list[int]:
        """The prompt within `room` tokens, or as short as can be.

        The last message loses its beginning, then the oldest turns go; with `instruction` the system message then
        loses its end, and the last message what it still has but its end.
        """
        turns = [replace(turn, content=sanitise.defused(turn.content, self.controls)) for turn in messages]
        first = 1 if turns[0].role == "system" else 0
        whole = turns[-1]
        while True:
            turns[-1] = whole
            head = self._cut(turns, -1, room, least=min(LEAST_OF_LAST, room // 4))
            # The last message stays, and what stands before it is no whole pair of turns.
            if len(head) <= room or len(turns) - first < 3:
                break
            # A question and its answer go together: templates refuse turns that do not take turns.
            del turns[first : first + 2]
        if instruction and first and len(head) > room:
            head = self._cut(turns, 0, room, least=0)
        if instruction and len(head) > room:
            head = self._cut(turns, -1, room, least=1)
        return head

    def _cut(self, turns: list[Message], place: int, room: int, *, least: int) -> list[int]:
        """The prompt, with the last message cut at its beginning or the first at its end; `turns` has it then."""
        text = turns[place].content
        offsets = self.tokenizer.encode(text, add_special_tokens=False).offsets
        head = self.prompt(turns)
        drop = 0
        most = max(0, len(offsets) - least)
        # Again and again: cutting within a text changes how its edge is tokenised.
        while len(head) > room and drop < most:
            drop = min(most, drop + len(head) - room)
            content = text[offsets[drop][0] :] if place else text[: offsets[-drop][0]]
            turns[place] = replace(turns[place], content=content)
            head = self.prompt(turns)
        return head

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))


def _text(value: Any) -> str:
    return str(value.get("content", "")) if isinstance(value, dict) else str(value or "")
