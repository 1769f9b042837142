"""Fixed limits of queries and headers. They bound the work that one request causes before it is refused.

Every value is large enough for what FHIR clients send. `docs/reference/settings.md` lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl

from onestory.shared.errors import Malformed

MAX_PARAMETERS = 100
MAX_LISTED_VALUES = 500
MAX_VALUE_LENGTH = 2_000
MAX_NAME_WORDS = 20
MAX_HEADER_LENGTH = 8_192
MAX_AUTHORIZATION_LENGTH = 16_384
MAX_PREFER_LENGTH = 1_000
MAX_ENTITY_TAGS = 100

# Their own parsers bound these values. A page cursor holds the values by which the list is sorted.
_OPAQUE = ("after", "_cursor")
_HEADER_LENGTHS = {b"authorization": MAX_AUTHORIZATION_LENGTH, b"prefer": MAX_PREFER_LENGTH}
_ENTITY_TAG_HEADERS = (b"if-none-match", b"if-match")
# Each of them has one value. Given two, a gateway and OneStory may read different ones.
_HEADERS_SENT_ONCE = {
    name.lower().encode(): name
    for name in (
        "Authorization",
        "Content-Encoding",
        "Content-Type",
        "Idempotency-Key",
        "If-None-Exist",
        "X-Dry-Run",
        "X-Replaces-System",
        "X-Request-Id",
        "X-Sequence",
        "X-Source-System",
    )
}


class FixedLimit(NamedTuple):
    """One limit for the reference page."""

    limited: str
    value: int
    unit: str


FIXED_LIMITS = (
    FixedLimit("parameters of a query or a search form", MAX_PARAMETERS, "parameters"),
    FixedLimit("values in one parameter, separated by commas, such as `_id=a,b`", MAX_LISTED_VALUES, "values"),
    FixedLimit("one value of a parameter", MAX_VALUE_LENGTH, "characters"),
    FixedLimit("words of a name that is searched", MAX_NAME_WORDS, "words"),
    FixedLimit(f"lines of each of {', '.join(f'`{name}`' for name in _HEADERS_SENT_ONCE.values())}", 1, "line"),
    FixedLimit("a line of `Authorization`", MAX_AUTHORIZATION_LENGTH, "characters"),
    FixedLimit("a line of `Prefer`", MAX_PREFER_LENGTH, "characters"),
    FixedLimit("a line of any other header", MAX_HEADER_LENGTH, "characters"),
    FixedLimit("entity tags in a line of `If-None-Match` or `If-Match`", MAX_ENTITY_TAGS, "entity tags"),
)


def refuse_large_request(query: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise `Malformed` for a query or a header beyond its limit. `query` is still encoded."""
    sent = set()
    for name, value in headers:
        if name in _HEADERS_SENT_ONCE:
            if name in sent:
                shown = _HEADERS_SENT_ONCE[name]
                raise Malformed(f"{shown}: the header was sent more than once. Send it once.", code="structure")
            sent.add(name)
        if len(value) > MAX_PREFER_LENGTH or (name in _ENTITY_TAG_HEADERS and len(value) > MAX_ENTITY_TAGS):
            _refuse_large_header(name, value)
    if len(query) > MAX_VALUE_LENGTH or query.count(b"&") >= MAX_PARAMETERS or query.count(b",") >= MAX_LISTED_VALUES:
        refuse_large_values(_query_parameters(query))


def refuse_large_values(parameters: Sequence[tuple[str, str]]) -> None:
    """Raise `Malformed` for too many parameters, a list with too many values, or a value that is too long."""
    if len(parameters) > MAX_PARAMETERS:
        raise _too_many_parameters()
    for name, value in parameters:
        if len(name) > MAX_VALUE_LENGTH:
            raise Malformed("The name of a parameter is too long. Correct it, or leave it out.", code="too-long")
        if name in _OPAQUE:
            continue
        listed = value.split(",")
        if len(listed) > MAX_LISTED_VALUES:
            text = f"{_shown(name)}: it has {len(listed)} values. Send at most {MAX_LISTED_VALUES} in one request."
            raise Malformed(text, code="too-costly")
        if len(max(listed, key=len)) > MAX_VALUE_LENGTH:
            text = f"{_shown(name)}: a value is too long. Send at most {MAX_VALUE_LENGTH} characters."
            raise Malformed(text, code="too-long")


def refuse_many_words(parameter: str, words: Sequence[str]) -> None:
    """Raise `Malformed` for a searched name with too many words."""
    if len(words) > MAX_NAME_WORDS:
        text = f"{parameter}: the name has {len(words)} words. Send at most {MAX_NAME_WORDS}."
        raise Malformed(text, code="too-costly")


def _query_parameters(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError as error:
        raise _too_many_parameters() from error


def _refuse_large_header(name: bytes, value: bytes) -> None:
    longest, shown = _HEADER_LENGTHS.get(name, MAX_HEADER_LENGTH), _shown(name.decode("latin-1"))
    if len(value) > longest:
        raise Malformed(f"{shown}: the header is too long. Send at most {longest} characters.", code="too-long")
    if name in _ENTITY_TAG_HEADERS and value.count(b",") >= MAX_ENTITY_TAGS:
        text = f"{shown}: the header has too many entity tags. Send at most {MAX_ENTITY_TAGS}."
        raise Malformed(text, code="too-costly")


def _shown(name: str) -> str:
    # The caller wrote the name, so it is shortened and loses unusual characters.
    return "".join(letter for letter in name[:64] if letter.isalnum() or letter in "_-:.")


def _too_many_parameters() -> Malformed:
    return Malformed(f"The request has too many parameters. Send at most {MAX_PARAMETERS}.", code="too-costly")
