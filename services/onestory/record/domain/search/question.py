"""Search parameters: what may be asked, read into one question.

FHIR R4, http://hl7.org/fhir/R4/search.html. A parameter that is not known here is refused with its name, because a
client that believes in a filter it did not get reads the wrong list; `Prefer: handling=lenient` asks to pass over it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

from onestory.record.domain.search import dates
from onestory.record.domain.search.dates import ANY_TIME, Span
from onestory.record.domain.search.place import CURSOR, START, Place, from_cursor
from onestory.shared.errors import Issue, Malformed

MOST = 1000
"""Entries on a page, also when the caller names no number."""
# They change the form of the answer or when it comes, not what is in it. The total is always exact.
# A client library in wide use asks for the total by `_totalMethod` too.
_OF_ANY_READ = {"after", "_format", "_pretty", "_total", "_totalMethod"}
_OF_ANY_LIST = {"_count", CURSOR, "_since", "_lastUpdated"} | _OF_ANY_READ
IN_SEARCH = _OF_ANY_LIST | {"_id"}
IN_EVERYTHING = _OF_ANY_LIST | {"_type", "asOf"}
IN_HISTORY = {"_count", CURSOR, "_since"} | _OF_ANY_READ
IN_PERSONS_HISTORY = IN_HISTORY | {"patient", "subject", "patient:Patient", "subject:Patient"}
IN_READ = _OF_ANY_READ
IN_SUMMARY = {"asOf"} | _OF_ANY_READ
IN_MERGED = {"asOf", "_since"} | _OF_ANY_READ

AS_OF = "asOf"
"""The moment of which the record is asked. It is never passed over: the present would be read as the past."""

Parameters = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of one person's record. None: any. `ignored` are the parameters that were passed over."""

    types: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    span: Span = ANY_TIME
    count: int = MOST
    after: Place = START
    ignored: tuple[str, ...] = ()

    @property
    def asks_for_all(self) -> bool:
        """Whether everything matches."""
        return self.types is None and self.ids is None and self.span == ANY_TIME


def question(parameters: Parameters, known: Collection[str], *, types: Iterable[str] = (), lenient: bool) -> Question:
    """The question that the parameters ask; `types` limits it to resource types. Raises `Malformed`."""
    if not parameters:
        return Question(types=tuple(types) or None)
    if any("\0" in value for _, value in parameters):
        raise Malformed("A search parameter holds a NUL character.", code="value")
    ignored = tuple(sorted({name for name, _ in parameters if name not in known}))
    if ignored and (not lenient or AS_OF in ignored):
        raise Malformed("Unknown search parameters.", issues=[unknown(name, "error") for name in ignored])
    return Question(
        types=tuple(types) or _listed(parameters, "_type"),
        ids=_listed(parameters, "_id"),
        span=_span(parameters),
        count=_count(one(parameters, "_count")),
        after=from_cursor(one(parameters, CURSOR)),
        ignored=ignored,
    )


def unknown(name: str, severity: str, what_is: str = "") -> Issue:
    """The issue that a parameter is not known. Its name is cut and cleaned: it is the caller's own text.

    `what_is` says what is known.
    """
    shown = "".join(letter for letter in name[:64] if letter.isalnum() or letter in "_-:.")
    says = f"The search parameter '{shown}' is not known here. {what_is}"
    return Issue("not-supported", says.rstrip(), severity=severity)


def one(parameters: Parameters, name: str) -> str | None:
    """The value of a parameter that may be given once. Raises `Malformed`."""
    values = [value for key, value in parameters if key == name]
    if len(values) > 1:
        raise Malformed(f"{name} may be given once.", code="value")
    return values[0] if values else None


def _listed(parameters: Parameters, name: str) -> tuple[str, ...] | None:
    value = one(parameters, name)
    return None if value is None else tuple(dict.fromkeys(part.strip() for part in value.split(",")))


def _span(parameters: Parameters) -> Span:
    spans = [dates.last_updated(value) for name, value in parameters if name == "_lastUpdated"]
    since = one(parameters, "_since")
    return reduce(Span.and_also, [*spans, dates.since(since) if since else ANY_TIME])


def _count(value: str | None) -> int:
    if value is None:
        return MOST
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise Malformed("_count is a whole number from 0.", code="value")
    return min(int(value), MOST)
