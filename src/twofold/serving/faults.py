"""Errors in the shape of the OpenAI API: status, type, code and parameter, with the cure in the message."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from twofold import errors
from twofold.errors import TwofoldError
from twofold.serving.strict_json import TWICE
from twofold.types import Json

log = logging.getLogger(__name__)

STATUS: Mapping[type[TwofoldError], int] = {
    errors.BadRequest: 400,
    errors.TooLong: 400,
    errors.BadFilter: 400,
    errors.BadKey: 401,
    errors.Forbidden: 403,
    errors.AccessDenied: 403,
    errors.NotServed: 404,
    errors.Conflict: 409,
    errors.ProjectLocked: 409,
    errors.DataError: 422,
    errors.QueueFull: 429,
    errors.OverLimit: 429,
    errors.SourceError: 502,
    errors.Closing: 503,
    errors.IssuerDown: 503,
    errors.IndexEmpty: 503,
    errors.DiskFull: 503,
    errors.DatabaseUnreachable: 503,
    errors.PartDown: 503,
    errors.AuditUnwritable: 503,
    errors.GenerationError: 502,
    errors.EndpointUnreachable: 503,
    errors.DeadlinePassed: 504,
}
"""Class of errors → status; another error is the server's: 500."""
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_HTTP_CURES = {
    404: "Use an address of /openapi.json.",
    405: "Use a method that /openapi.json lists for this address.",
    408: "Send the body without pauses.",
    413: "Send less at once, or raise [serving].max_body_mib in twofold.toml.",
    415: "Send JSON with the header Content-Type: application/json.",
}
_KINDS: Mapping[str, tuple[type, ...]] = {"string_type": (list, dict), "list_type": (str, dict)}
"""Fault of a value's kind → kinds for which another branch of a union is meant."""
_WORDS: Mapping[str, tuple[str, str]] = {
    "missing": ("it is missing, and required", "Send it."),
    "too_short": ("it is empty", "Send at least one."),
    "string_too_short": ("it is empty", "Send at least one letter."),
    "too_long": ("there are more than {max_length}", "Send at most {max_length} at once."),
    "string_too_long": ("it has more than {max_length} letters", "Send at most {max_length} letters."),
    "string_type": ("it is no string", "Send a string in quotes."),
    "list_type": ("it is no list", "Send a list in square brackets."),
    "model_type": ("it is no object", "Send an object in curly brackets."),
    "model_attributes_type": ("it is no object", "Send an object in curly brackets."),
    "dict_type": ("it is no object", "Send an object in curly brackets."),
    "bool_type": ("it is neither true nor false", "Send true or false."),
    "int_type": ("it is no whole number", "Send a whole number without quotes."),
    "int_from_float": ("it is no whole number", "Send a whole number without quotes."),
    "int_parsing": ("it is no whole number", "Send a whole number without quotes."),
    "greater_than_equal": ("it is less than {ge}", "Send {ge} or more."),
    "less_than_equal": ("it is more than {le}", "Send {le} or less."),
    "less_than": ("it is not less than {lt}", "Send less than {lt}."),
    "float_type": ("it is no number", "Send a number without quotes."),
    "finite_number": ("it is no finite number", "Send a finite number."),
    "literal_error": ("it is none of {expected}", "Send one of these."),
}
"""Fault of a value → what is wrong, and the cure; the library's own words say what a validator did."""
_AGAIN = 2.0
"""Seconds in Retry-After of a refusal that tells no time itself."""


def status_of(error: TwofoldError) -> int:
    """The status of an error, by its nearest class."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def body(message: str, *, status: int, code: str, param: str | None = None) -> Json:
    """An error object."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}


def of_error(error: BaseException) -> tuple[int, Json, dict[str, str]]:
    """Status, body and headers of an error; of an unexpected one nothing is told but that it is one."""
    if not isinstance(error, TwofoldError):
        log.error("a request failed", exc_info=error)
        return 500, unexpected(), {}
    status = status_of(error)
    # The file's place on the server is nobody's business: only the message is told, never `str(error)`.
    param = error.param if isinstance(error, errors.BadRequest) and error.param else None
    message = sentence(error.message, error.cure)
    headers = dict(error.headers) if isinstance(error, errors.OverLimit) else {}
    if isinstance(error, errors.QueueFull | errors.OverLimit | errors.PartDown):
        # Whole seconds, rounded up: whoever came back a moment early would be refused once more.
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    elif status == 503 or isinstance(error, errors.ProjectLocked):
        headers["retry-after"] = str(math.ceil(_AGAIN))
    if status == 401:
        # HTTP requires it with a 401.
        headers["www-authenticate"] = "Bearer"
    if status in (500, 502):
        # Raised on purpose, with a message for people: where it was raised helps only who asks for it (--verbose).
        log.error(
            "a request failed: %s",
            sentence(str(error), error.cure),
            exc_info=error if log.isEnabledFor(logging.DEBUG) else None,
        )
    return status, body(message, status=status, code=error.code, param=param), headers


def unexpected() -> Json:
    """The body of an error that nobody expected: nothing of it is told."""
    return body("internal error. Report it with the server's log.", status=500, code="internal")


def of_status(status: int) -> Json:
    """The body of an error that the web framework raises."""
    phrase = HTTPStatus(status).phrase.lower()
    cure = _HTTP_CURES.get(status, "Correct the request; /openapi.json describes every address.")
    return body(sentence(phrase, cure), status=status, code=f"http.{phrase.replace(' ', '-')}")


def of_validation(faults: list[Any]) -> Json:
    """The body of an error for a body that does not fit its model; no value of the request is repeated."""
    # Of the branches of a union those count that take a value of this kind at all, and a closed set of values last.
    fitting = [one for one in faults if one["type"] not in _KINDS or not isinstance(one["input"], _KINDS[one["type"]])]
    fault = next((one for one in fitting if one["type"] != "literal_error"), (fitting or faults)[0])
    # The first part says where it was sent: body, query or path.
    where = [str(part) for part in fault["loc"][1:]]
    # Parts in capitals or with brackets are pydantic's names of the branches of a union, not the caller's.
    where = [part for part in where if part.isdigit() or (part[:1].islower() and "[" not in part and part != "str")]
    param = ".".join(where) or None
    named = f"{param}: " if param else ""
    if fault["type"] == "extra_forbidden":
        message = sentence(f"{named}unknown or unsupported parameter", errors.BadRequest.cure)
    elif fault["type"] == "json_invalid":
        param = None  # it tells the place in the text
        # The library's own words repeat what was sent.
        what = TWICE if fault.get("ctx", {}).get("error") == TWICE else "the body is not valid JSON"
        message = sentence(what, "Send one JSON object.")
    elif fault["type"] in ("model_attributes_type", "model_type") and not where:
        message = sentence("the body is no JSON object", "Send one, with the header Content-Type: application/json.")
    elif fault["type"] in _WORDS:
        text, cure = (words.format(**fault.get("ctx", {})) for words in _WORDS[fault["type"]])
        message = sentence(f"{named}{text}", cure)
    else:
        text = str(fault["msg"]).removeprefix("Value error, ")
        message = sentence(f"{named}{text[:1].lower()}{text[1:]}", errors.BadRequest.cure)
    return body(message, status=400, code=errors.BadRequest.code, param=param)


def sentence(message: str, cure: str) -> str:
    """Message and cure as two sentences; the message alone where there is no cure."""
    return f"{message.rstrip('. ')}. {cure}".rstrip()


def encoded(value: Any) -> bytes:
    """JSON as UTF-8, without line breaks; what is no character is replaced."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
