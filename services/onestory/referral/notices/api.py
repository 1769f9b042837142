"""`GET /notices`: what an organisation or a team was told, the newest first, for who does not read `care.referral`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import Trace
from onestory.referral.notices import store as notices_store
from onestory.referral.notices.store import StoredNotice
from onestory.referral.worklist import query as worklist_query
from onestory.referral.worklist.query import moment, name
from onestory.referral.worklist.service import Worklists
from onestory.shared.errors import Malformed
from onestory.shared.fhir.dates import format_instant
from onestory.shared.http.caller import Caller
from onestory.shared.http.cursor import TimeCursor, from_text, to_text
from onestory.shared.postgres.database import Database

PATH = "/notices"
PARAMETERS = ("team", "since", "count", "cursor")


class ReadNotices:
    """Answers a page as JSON: of one team, or of one's organisation and all teams whose lists the caller may read."""

    def __init__(self, database: Database, lists: Worklists, trace: Trace, base_url: str) -> None:
        self._database = database
        self._lists = lists
        self._trace = trace
        self._base_url = base_url

    async def __call__(self, request: Request, caller: Caller) -> Response:
        said = worklist_query.said(request, PARAMETERS)
        cursor, most = said.pop("cursor", ""), worklist_query.count(said, "count")
        organisation, teams = await self._of_whom(caller, name(said, "team"))
        after = _place(cursor) if cursor else None
        async with self._database.snapshot() as queries:
            again = after.at if after else await notices_store.asked_again_from(queries)
            found = await notices_store.told(queries, organisation, teams, moment(said, "since"), after, most + 1)
        shown = found[:most]
        following = TimeCursor(again, shown[-1].kept_at, str(shown[-1].number)) if len(found) > most else None
        ids = [each.referral_id for each in shown]
        await self._trace.read(caller, ids, "notices", "Task", request.state.correlation_id)
        query = following and urlencode({**said, "cursor": to_text(following)})
        answer = {
            "notices": [_written(each) for each in shown],
            "since": format_instant(again),
            "next": f"{self._base_url}{PATH}?{query}" if query else None,
        }
        return Response(orjson.dumps(answer), media_type="application/json")

    async def _of_whom(self, caller: Caller, team: str) -> tuple[str, Sequence[str]]:
        if team:
            return "", (await self._lists.team(caller, team)).teams
        return caller.organisation, [each.team_id for each in await self._lists.teams(caller)]


def _written(each: StoredNotice) -> dict[str, Any]:
    return {
        "notice": str(each.number),
        "code": each.reason,
        "organisation": each.party.organisation,
        "team": each.party.team,
        "as": each.recipient,
        "referral": each.referral_id,
        "task": each.task_id,
        "version": f'W/"{each.event_id}"',
        "number": each.version,
        "action": each.action,
        "reason": each.change_reason,
        "status": each.status,
        "at": format_instant(each.at),
    }


def _place(cursor: str) -> TimeCursor:
    place = from_text(cursor)
    if not re.fullmatch(r"\d{1,18}", place.name):
        raise Malformed("This cursor is of another list: begin again without it.", code="value")
    return place
