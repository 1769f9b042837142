"""`GET /ServiceRequest`: the referrals of a person to which the caller is party."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.api import asking
from onestory.referral.bars.api import searching
from onestory.referral.handler import Handler
from onestory.referral.store import referrals
from onestory.referral.store.referrals import Resource
from onestory.referral.trace import Trace
from onestory.shared.caller import Caller
from onestory.shared.database import Database
from onestory.shared.errors import Forbidden, NotFound
from onestory.shared.identity import Keys

_TYPE = "ServiceRequest"


class Requests:
    """Reads referrals as BaRS does."""

    def __init__(self, handler: Handler, database: Database, trace: Trace, keys: Keys, base_url: str) -> None:
        self._handler = handler
        self._database = database
        self._trace = trace
        self._keys = keys
        self._base_url = base_url

    async def read(self, request: Request, caller: Caller) -> Response:
        """One of them."""
        searching.asked(request, ())
        found = await self._handler.read(caller, request.path_params["id"])
        if found.resource_type != _TYPE:
            raise NotFound("There is nothing here that you may read.")
        await self._trace.read(caller, [found.shared_id], "read", _TYPE, request.state.correlation_id)
        return asking.shown(found, self._base_url)

    async def search(self, request: Request, caller: Caller) -> Response:
        """Those of one person."""
        person_key = self._keys.person_key(searching.person(request))
        found = await referrals.requests(self._database, person_key)
        shown = [each for each in found if await self._is_party(caller, each)]
        if shown:
            ids = [each.shared_id for each in shown]
            await self._trace.read(caller, ids, "search-type", _TYPE, request.state.correlation_id)
        return searching.searchset(
            f"{self._base_url}/{_TYPE}",
            [(f"{self._base_url}/{_TYPE}/{each.shared_id}", each.content) for each in shown],
        )

    async def _is_party(self, caller: Caller, request: Resource) -> bool:
        try:
            await self._handler.read(caller, request.shared_id)
        except (NotFound, Forbidden):
            return False
        return True
