"""`GET /worklists/breaches`: what is late, the longest late first, until somebody acts."""

from __future__ import annotations

from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.api import worklist_asking
from onestory.referral.api.since import moment, name
from onestory.referral.breaches import Breaches
from onestory.referral.domain.place import from_text, to_text
from onestory.referral.trace import Trace
from onestory.shared.caller import Caller
from onestory.shared.fhir.instants import format_instant

PATH = "/worklists/breaches"
PARAMETERS = ("team", "organisation", "since", "count", "cursor")


class ReadBreaches:
    """Answers a page as JSON. Everybody on it leaves a trace before it is shown."""

    def __init__(self, breaches: Breaches, trace: Trace, base_url: str) -> None:
        self._breaches = breaches
        self._trace = trace
        self._base_url = base_url

    async def __call__(self, request: Request, caller: Caller) -> Response:
        said = worklist_asking.said(request, PARAMETERS)
        cursor, most = said.pop("cursor", ""), worklist_asking.count(said, "count")
        whose = await self._breaches.whose(caller, name(said, "team"))
        organisation = name(said, "organisation").upper()
        after = from_text(cursor) if cursor else None
        page = await self._breaches.page(whose, organisation, moment(said, "since"), after, most)
        shown = [each.referral_id for each in page.referrals]
        await self._trace.read(caller, shown, "worklist", "Task", request.state.correlation_id)
        query = page.next and urlencode({**said, "cursor": to_text(page.next)})
        answer = {
            "at": format_instant(page.at),
            "counts": {"total": page.total, "escalated": page.escalated},
            "rows": await self._breaches.written(page, whose),
            "next": f"{self._base_url}{PATH}?{query}" if query else None,
        }
        return Response(orjson.dumps(answer), media_type="application/json")
