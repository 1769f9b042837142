"""The time that an element of a resource means: a date, a Period, or a Timing.

FHIR R4, http://hl7.org/fhir/R4/search.html#date: of a Timing the outer limits count.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from onestory.record.domain.search.dates import Span, span


def time_of(value: Any) -> Span | None:
    """From when to when; None for what names no time, which no comparison finds."""
    if isinstance(value, str):
        return span(value)
    if not isinstance(value, dict):
        return None
    return _period(value) if "start" in value or "end" in value else _timing(value)


def _period(period: Mapping[str, Any]) -> Span | None:
    start, end = (span(str(period.get(name, ""))) for name in ("start", "end"))
    return Span(start and start.since, end and end.before) if start or end else None


def _timing(timing: Mapping[str, Any]) -> Span | None:
    repeat = timing.get("repeat")
    bounds = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
    listed = timing.get("event")
    events = [found for each in (listed if isinstance(listed, list) else ()) if (found := time_of(each))]
    if isinstance(bounds, dict) and (within := _period(bounds)):
        events.append(within)
    return (
        Span(_least([each.since for each in events]), _greatest([each.before for each in events])) if events else None
    )


def _least(moments: list[datetime | None]) -> datetime | None:
    known = [moment for moment in moments if moment]
    return min(known) if len(known) == len(moments) else None


def _greatest(moments: list[datetime | None]) -> datetime | None:
    known = [moment for moment in moments if moment]
    return max(known) if len(known) == len(moments) else None
