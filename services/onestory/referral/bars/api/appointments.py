"""`GET /Appointment`: the bookings of a person to which the caller is party."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.api import asking
from onestory.referral.bars.api import searching
from onestory.referral.bars.parties import of_ones_own
from onestory.referral.bars.store import bookings
from onestory.referral.store.referrals import Resource
from onestory.referral.trace import Trace
from onestory.shared.caller import Caller
from onestory.shared.database import Database
from onestory.shared.errors import NotFound
from onestory.shared.identity import Keys, parse_shared_id

_TYPE = "Appointment"


class Appointments:
    """Reads bookings as BaRS does."""

    def __init__(self, database: Database, trace: Trace, keys: Keys, base_url: str) -> None:
        self._database = database
        self._trace = trace
        self._keys = keys
        self._base_url = base_url

    async def read(self, request: Request, caller: Caller) -> Response:
        """One of them."""
        searching.asked(request, ())
        name = request.path_params["id"]
        made = await bookings.booking(self._database, name) if parse_shared_id(name) else None
        found = next(iter(await of_ones_own(self._database, caller, [made] if made else [])), None)
        if found is None:
            raise NotFound("There is nothing here that you may read.")
        await self._trace.read(caller, [name], "read", _TYPE, request.state.correlation_id)
        shown = Resource(_TYPE, name, found.referral_id, found.event_id, found.changed_at, found.content)
        return asking.shown(shown, self._base_url)

    async def search(self, request: Request, caller: Caller) -> Response:
        """Those of one person."""
        person_key = self._keys.person_key(searching.person(request))
        found = await of_ones_own(self._database, caller, await bookings.bookings(self._database, person_key))
        if found:
            ids = [each.appointment_id for each in found]
            await self._trace.read(caller, ids, "search-type", _TYPE, request.state.correlation_id)
        url = f"{self._base_url}/{_TYPE}"
        return searching.searchset(url, [(f"{url}/{each.appointment_id}", each.content) for each in found])
