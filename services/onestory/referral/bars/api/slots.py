"""`GET /Slot`: the times that a team offers (http://hl7.org/fhir/R4/slot.html)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.bars.api import searching
from onestory.referral.bars.store import bookings
from onestory.referral.bars.store.bookings import MOST_SLOTS, Slot
from onestory.referral.store import directory
from onestory.shared.caller import Caller
from onestory.shared.database import Database
from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.fhir.instants import parse_instant
from onestory.shared.identity import is_keepable

_SERVICE = "Schedule.actor:HealthcareService"
_KNOWN = (_SERVICE, "status", "start", "_include", "_include:iterate")
_STATUSES = ("busy", "free", "busy-unavailable", "busy-tentative", "entered-in-error")


class Slots:
    """Answers with slots and the Schedules that they are of."""

    def __init__(self, database: Database, base_url: str) -> None:
        self._database = database
        self._base_url = base_url

    async def search(self, request: Request, _caller: Caller) -> Response:
        """A team's slots. What a team offers is no secret: it is what the directory says, and nothing of people."""
        asked = searching.asked(request, _KNOWN)
        earliest, latest = _within(asked.get("start", []))
        service = _service(asked)
        await self._refuse_several(service)
        found = await bookings.slots(self._database, service, _statuses(asked), earliest, latest)
        if len(found) > MOST_SLOTS:
            says = f"There are more than {MOST_SLOTS} slots within these times: ask for fewer days."
            raise Unprocessable(says, code="too-costly", expression="http.start")
        schedules = {each.schedule_id: each.schedule_content for each in found}
        return searching.searchset(
            f"{self._base_url}/Slot",
            [(f"{self._base_url}/Slot/{each.slot_id}", _content(each)) for each in found],
            [(f"{self._base_url}/Schedule/{name}", content) for name, content in schedules.items()],
        )

    async def _refuse_several(self, service: str) -> None:
        """A slot among another team's would be booked as that team's."""
        if sum(each.active for each in await directory.team_by_dos_id(self._database, service)) > 1:
            says = "Several teams have this service id: ask by the id of the team in the directory."
            raise Unprocessable(says, code="business-rule", expression=f"http.{_SERVICE}")


def _service(asked: dict[str, list[str]]) -> str:
    said = asked.get(_SERVICE, [])
    if len(said) != 1 or not said[0] or not is_keepable(said[0]):
        says = f"Say whose slots: {_SERVICE}=<id of the service, in the directory or in the Directory of Services>."
        raise Malformed(says, code="required", expression=f"http.{_SERVICE}")
    # A literal reference or system|value: the service's id is what stands last.
    return said[0].rpartition("/")[2].rpartition("|")[2]


def _statuses(asked: dict[str, list[str]]) -> list[str]:
    wanted = [status for said in asked.get("status", []) for status in said.split(",")]
    if any(status not in _STATUSES for status in wanted):
        raise Malformed(f"status is of {', '.join(_STATUSES)}.", code="value", expression="http.status")
    return wanted


def _within(said: Sequence[str]) -> tuple[datetime | None, datetime | None]:
    earliest = latest = None
    for each in said:
        try:
            moment = parse_instant(each[2:])
        except ValueError as error:
            raise _no_time() from error
        if each.startswith("ge"):
            earliest = max(earliest, moment) if earliest else moment
        elif each.startswith("le"):
            latest = min(latest, moment) if latest else moment
        else:
            raise _no_time()
    return earliest, latest


def _no_time() -> Malformed:
    says = "start is ge or le and a moment with time zone, such as ge2026-12-01T09:00:00Z (%2B for +)."
    return Malformed(says, code="value", expression="http.start")


def _content(slot: Slot) -> bytes:
    return orjson.dumps({**orjson.loads(slot.content), "status": slot.status})
