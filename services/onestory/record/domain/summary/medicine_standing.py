"""How a medicine stands at a moment by one statement of it, and until when.

A repeat counts until it is stopped and for six months after, an acute prescription for a year (`domain.md`). A date
that nobody gave is taken as late as it can have been: a medicine is shown too long rather than too short.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.domain.merge.fact import Said
from onestory.record.domain.summary.moments import NEVER, moment, months_after
from onestory.record.domain.summary.plain import each, extensions, first
from onestory.record.domain.summary.record import Record, ended

FORBIDDEN = "Not to be given"
CURRENT = "Current"
UNSURE = "Planned, or its source does not know"
ACUTE = "Acute, within a year"
FORMER = "Repeats of a former practice: not known to be current"
STOPPED = "Stopped or ended within six months, or not taken"
GROUPS = (FORBIDDEN, CURRENT, UNSURE, ACUTE, FORMER, STOPPED)
"""As they are shown: what matters most first."""

_STOPPED_MONTHS = 6
_ACUTE_MONTHS = 12
_OVER = {"completed", "stopped", "cancelled", "not-taken"}
_NOT_SURE = {"draft", "intended", "unknown"}
_NOT_ORDERED = {"proposal", "option"}
_ENDS = (
    ("effectivePeriod", "end"),
    ("dispenseRequest", "validityPeriod", "end"),
    ("dosageInstruction", "timing", "repeat", "boundsPeriod", "end"),
    ("dosage", "timing", "repeat", "boundsPeriod", "end"),
)
_BEGINS = (("authoredOn",), ("effectiveDateTime",), ("effectivePeriod", "start"))


class Standing(NamedTuple):
    """Where a medicine is shown, and from when on it is not shown there any more."""

    group: str
    until: datetime


def standing(record: Record, said: Said) -> Standing:
    """By what is said, and by whether its source still is the person's practice."""
    content = said.content
    if content.get("doNotPerform") is True:
        return Standing(FORBIDDEN, NEVER)
    status = first(content, "status")
    if _is_acute(content):
        ended_early = status in _OVER - {"completed"}
        until = months_after(_last(content, said.recorded_at), _ACUTE_MONTHS)
        return Standing(STOPPED if ended_early else ACUTE, until)
    if status in _OVER:
        return Standing(STOPPED, _stopped_until(record, said))
    if status in _NOT_SURE or first(content, "intent") in _NOT_ORDERED:
        return Standing(UNSURE, months_after(_last(content, said.recorded_at), _ACUTE_MONTHS))
    return _repeated(record, said)


def _repeated(record: Record, said: Said) -> Standing:
    end = max(_moments(said.content, [("effectivePeriod", "end")]), default=None)
    if end and end <= record.at:
        return Standing(STOPPED, months_after(end, _STOPPED_MONTHS))
    if until := record.former_until(said):
        return Standing(FORMER, months_after(ended(until), _STOPPED_MONTHS))
    return Standing(CURRENT, end or NEVER)


def _stopped_until(record: Record, said: Said) -> datetime:
    """A source that does not say whether it was a repeat may have meant an acute one: then the longer time counts."""
    ended = [end for end in _moments(said.content, _ENDS) if end <= record.at]
    # Recorded after it was stopped, or as it was.
    stopped = months_after(max(ended, default=said.recorded_at), _STOPPED_MONTHS)
    if _course(said.content):
        return stopped
    return max(stopped, months_after(_last(said.content, said.recorded_at), _ACUTE_MONTHS))


def _is_acute(content: Mapping[str, Any]) -> bool:
    return "acute" in _course(content)


def _course(content: Mapping[str, Any]) -> set[str]:
    """How it is given: `acute`, `continuous` and the like, in FHIR's element or in the UK extension."""
    stated = [found for found in each(content, "courseOfTherapyType", "coding", "code") if isinstance(found, str)]
    for ending in ("PrescriptionType", "PrescriptionType-1"):
        stated += [first(one, "valueCodeableConcept", "coding", "code") for one in extensions(content, ending)]
    return {found.casefold() for found in stated if found}


def _last(content: Mapping[str, Any], otherwise: datetime) -> datetime:
    """The latest time that it names, or else when it was recorded."""
    return max(_moments(content, (*_BEGINS, *_ENDS)), default=otherwise)


def _moments(content: Mapping[str, Any], paths: Iterable[tuple[str, ...]]) -> list[datetime]:
    found = [moment(written) for path in paths for written in each(content, *path)]
    return [known.end for known in found if known]
