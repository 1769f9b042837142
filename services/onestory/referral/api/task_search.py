"""`GET /fhir/Task?owner=HealthcareService/<id>`: a team's open Tasks (http://hl7.org/fhir/R4/http.html#search).

A search without `owner`, or for one person, is the record's to answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.api import worklist_asking
from onestory.referral.api.worklists import INTERACTION
from onestory.referral.domain.clocks import PRIORITIES
from onestory.referral.domain.worklist import ACTING, Filters, Sort, Whose, from_text, to_text
from onestory.referral.trace import Trace
from onestory.referral.worklists import Worklists
from onestory.shared.caller import Caller
from onestory.shared.errors import Malformed
from onestory.shared.identity import is_ods_code_system
from onestory.shared.openapi import FHIR_JSON
from onestory.shared.web import Declined

OWNER, OWNED_BY = "owner", "owner:identifier"
SORTS = {"-priority": Sort.URGENCY, "authored-on": Sort.SENT, "-modified": Sort.CHANGED, "-_lastUpdated": Sort.CHANGED}
_KNOWN = (OWNER, OWNED_BY, "status", "priority", "_sort", "_count", "_cursor")
_OF_ONE_PERSON = {"patient", "subject", "_id", "identifier", "encounter", "focus", "based-on"}


class SearchTasks:
    """Answers a searchset of Tasks as they are at this moment."""

    def __init__(self, lists: Worklists, trace: Trace, base_url: str) -> None:
        self._lists = lists
        self._trace = trace
        self._base_url = base_url

    async def __call__(self, request: Request, caller: Caller) -> Response:
        names = {name.partition(":")[0].partition(".")[0] for name in request.query_params}
        if OWNER not in names or names & _OF_ONE_PERSON:
            raise Declined
        said = worklist_asking.said(request, _KNOWN)
        cursor = said.pop("_cursor", "")
        filters = Filters(
            status=worklist_asking.some(said, "status", ACTING),
            priority=worklist_asking.some(said, "priority", PRIORITIES),
        )
        sort, most = _sort(said), worklist_asking.count(said, "_count")
        after = from_text(cursor, said, sort) if cursor else None
        page = await self._lists.page(await self._whose(said, caller), filters, sort, most, after)
        shown = [each.referral_id for each in page.referrals]
        await self._trace.read(caller, shown, INTERACTION, "Task", request.state.correlation_id)
        following = self._url({**said, "_cursor": to_text(page.next, said)}) if page.next else ""
        tasks = await self._lists.tasks(page.referrals)
        here = self._url({**said, **({"_cursor": cursor} if cursor else {})})
        return Response(self._searchset(page.total, here, following, tasks), media_type=FHIR_JSON)

    async def _whose(self, said: Mapping[str, str], caller: Caller) -> Whose:
        if OWNER in said and OWNED_BY in said:
            raise Malformed(f"Ask by {OWNER} or by {OWNED_BY}, not by both.", code="invariant")
        if OWNED_BY in said:
            system, _, ods = said[OWNED_BY].rpartition("|")
            if not is_ods_code_system(system) or not ods:
                raise Malformed(f"{OWNED_BY} is the system of ODS codes, | and a code.", code="value")
            return await self._lists.owned_by(caller, ods)
        kind, _, team_id = said[OWNER].rpartition("/")
        if kind not in ("", "HealthcareService", f"{self._base_url}/HealthcareService") or not team_id:
            raise Malformed(f"{OWNER} is HealthcareService/<id in the directory>.", code="value")
        whose = await self._lists.team(caller, team_id)
        return Whose(teams=whose.teams, claimer=whose.claimer, received_only=True)

    def _url(self, said: Mapping[str, str]) -> str:
        return f"{self._base_url}/Task?{urlencode(said, safe=',|/:')}"

    def _searchset(self, total: int, here: str, following: str, tasks: Iterable[tuple[str, bytes]]) -> bytes:
        links = [{"relation": "self", "url": here}, *([{"relation": "next", "url": following}] if following else [])]
        entries = b",".join(
            b'{"fullUrl":"%s/Task/%s","resource":%s,"search":{"mode":"match"}}'
            % (self._base_url.encode(), task_id.encode(), content)
            for task_id, content in tasks
        )
        head = orjson.dumps({"resourceType": "Bundle", "type": "searchset", "total": total, "link": links})
        return head if not entries else head[:-1] + b',"entry":[' + entries + b"]}"


def _sort(said: Mapping[str, str]) -> Sort:
    wanted = said.get("_sort", "-priority")
    if wanted not in SORTS:
        raise Malformed(f"_sort is {' or '.join(SORTS)}.", code="value")
    return SORTS[wanted]
