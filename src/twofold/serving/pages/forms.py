"""Forms as browsers send them, and who sends them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

from fastapi import Request  # noqa: TID253

from twofold.errors import BadRequest
from twofold.serving.identity import Caller

_FIELDS = 500


class Form:
    """The fields of a form.

    Args:
        fields: Name → values, in the order sent.
    """

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """The last value of a field, with the line ends of files; empty without one."""
        return self.texts(name)[-1] if self.texts(name) else ""

    def texts(self, name: str) -> list[str]:
        """All values of a field."""
        # Browsers send every line end of a text as CRLF.
        return [value.replace("\r\n", "\n") for value in self._fields.get(name, ())]

    def lines(self, name: str) -> tuple[str, ...]:
        """The lines of a field that say something."""
        return tuple(line.strip() for line in self.text(name).split("\n") if line.strip())

    def number(self, name: str) -> int:
        """A whole number; 0 without one.

        Raises:
            BadRequest: the field is none.
        """
        text = self.text(name) or "0"
        # `isdigit` alone takes digits such as "²", at which `int` raises.
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            raise BadRequest(f"{name} is no number: {text[:40]!r}", cure="Use the form of the page.")
        return int(text)


async def form_of(request: Request) -> Form:
    """The form in a request.

    Raises:
        BadRequest: it has too many fields.
    """
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return Form(parse_qs(body, keep_blank_values=True, max_num_fields=_FIELDS))
    except ValueError as error:
        raise BadRequest("the form has too many fields", cure="Use the form of the page.") from error


def signature(caller: Caller, by: str) -> str:
    """The name under which something is stored: of the key, or what somebody without a key says.

    Args:
        caller: Who sends the form.
        by: The name in it.
    """
    # With a key nobody can sign as another.
    return caller.name if caller.id else " ".join(by.split())[:60]
