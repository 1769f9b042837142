"""How urgent a request is. BaRS has no priority of its own, and a clock that is too long could harm somebody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from onestory.referral.bars.domain.meaning import use_cases
from onestory.referral.bars.domain.message import Message
from onestory.referral.domain.clocks import PRIORITIES
from onestory.shared.fhir.instants import parse_instant

# By the application of the use case: a6t1 is of a6. Control rooms (a6) ask for an ambulance, pharmacies (a5) see
# somebody the next day, advice (a8) waits. All others begin at an emergency service.
_BY_APPLICATION: Mapping[str, str] = {"a5": "urgent", "a6": "stat", "a8": "routine"}
_OTHERWISE = "asap"
_WITHIN = ((timedelta(hours=1), "stat"), (timedelta(hours=4), "asap"), (timedelta(days=2), "urgent"))


def priority(message: Message) -> str:
    """The most urgent of what the request says, its use case, and the time within which somebody has to be seen."""
    return max(_said(message), key=PRIORITIES.index)


def _said(message: Message) -> Iterator[str]:
    request = message.focus.resource
    if "priority" in request:
        yield request["priority"]
    cases = use_cases(message)
    yield from (_BY_APPLICATION.get(case[:2], _OTHERWISE) for case in cases)
    if not cases:
        yield _OTHERWISE
    within = _within(request.get("occurrencePeriod", {}))
    if within is not None:
        yield next((name for limit, name in _WITHIN if within <= limit), "routine")


def _within(period: Mapping[str, str]) -> timedelta | None:
    start, end = _moment(period.get("start")), _moment(period.get("end"))
    # A period that ends when it begins says when, and not within what time.
    return end - start if start and end and start < end else None


def _moment(told: str | None) -> datetime | None:
    try:
        return parse_instant(told) if told and "T" in told else None
    except (ValueError, OverflowError):
        return None
