"""Decide whether an endpoint's error refuses a field of the request, or is about something else. Pure.

The evidence is the error's own fields (`param`, or FastAPI's `loc`), or words that refuse the field by its name.
"""

from __future__ import annotations

import json
import re
from typing import Any

from twofold.types import Json

_SIZE = re.compile(
    r"context|too (?:large|long|many|high|low)|maximum|exceed|between|range|at (?:least|most)|above|below|"
    r"(?:less|greater|lower|higher|more) than"
)
"""An error about a value's size does not refuse the field."""
_GAP = r"[^.;('\"`]{0,40}"
"""Text allowed between the words of a refusal and the field's name: one clause, without another field's name."""
_BEFORE = (
    rf"(?:\b(?:unsupported|unknown|unrecogni[sz]ed|unexpected|unpermitted|extra)\b|(?:\bnot|n['’]t) support){_GAP}"
)
_AFTER = (
    rf"{_GAP}\b(?:not (?:supported|allowed|permitted|accepted)|unsupported|unexpected|unrecogni[sz]ed|deprecated|"
    r"not support|(?:does|do|is|are)n['’]t (?:support|allowed|permitted|accepted))"
)
_ONE_VALUE = (
    rf"{_GAP}\b(?:only (?:1(?:\.0)? is|the default|be (?:set to )?1\b)|must be (?:set to )?(?:exactly )?1(?:\.0)?\b)"
)
"""A field that accepts only its default can be omitted."""


_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|context[ -](?:length|window|size)|"
    r"(?:prompt|input|request) is too long|"
    r"exceed\w* (?:the )?(?:model's )?(?:available |maximum )?(?:context|number of tokens)|too many (?:input )?tokens"
)


def too_long(status: int, text: str) -> bool:
    """Does an error say that the prompt is longer than the model can read? Some endpoints say so with a status of 500.

    Args:
        status: Of the response.
        text: Its body.
    """
    return status == 413 or (status in (400, 422, 500) and bool(_TOO_LONG.search(text.lower())))


def refuses(body: Any, field: str, sent: Json) -> bool:
    """Does an error's body say that the endpoint refuses a field of the request?

    Words are no evidence where the messages of the request contain the field's name: the endpoint may quote them.

    Args:
        body: Body of the response, as JSON.
        field: ``temperature``, ``max_tokens``, ``stop`` or ``stream_options``.
        sent: The request's body.
    """
    if field not in sent:
        return False
    # some endpoints wrap the error in a list of one
    body = body[0] if isinstance(body, list) and len(body) == 1 else body
    if isinstance(body, dict) and isinstance(body.get("errors"), list) and len(body["errors"]) == 1:
        body = body["errors"][0]
    error = body.get("error", body) if isinstance(body, dict) else body
    error = error if isinstance(error, dict) else {"message": error}
    for detail in _details(error):
        if field in (detail.get("loc") or ()) and "extra" in str(detail.get("type")):
            return True
    message, code = str(error.get("message") or ""), str(error.get("code") or "")
    # the field may be the end of a path, such as body.temperature
    param = str(error.get("param") or "").rpartition(".")[2]
    if param == field:
        return "unsupported" in code or not _SIZE.search(f"{code} {message}".lower())
    # the message may quote the question: where that names the field, its words prove nothing
    if param or re.search(rf"\b{field}\b", json.dumps(sent["messages"]), re.IGNORECASE):
        return False
    # FastAPI's list of faults, quoted as text
    if re.search(rf"extra_forbidden['\"],\s*['\"]loc['\"]:\s*[\[(][^\])]*['\"]{field}['\"]", message):
        return True
    name = rf"['\"`]?\b{field}\b['\"`]?"
    words = [rf"{_BEFORE}{name}", rf"{name}{_AFTER}", *([rf"{name}{_ONE_VALUE}"] if field == "temperature" else [])]
    # "parameter(s)": its bracket would end the clause, see _GAP
    matches = re.finditer("|".join(words), message.replace("(s)", "s"), re.IGNORECASE)
    return any(not _SIZE.search(detail.group().lower()) for detail in matches)


def _details(error: Json) -> list[Json]:
    """FastAPI's list of faults, which some endpoints put inside `message`."""
    inside = error.get("message")
    details = error.get("detail") or (inside.get("detail") if isinstance(inside, dict) else None)
    return [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
