"""`GET /notices`: notices to an organisation or a team, the newest first, for systems that do not read Kafka."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.appointments.model import shown_appointment
from onestory.referral.audit import ReferralAudit
from onestory.referral.notices import store as notices_store
from onestory.referral.notices.store import StoredNotice
from onestory.referral.worklist import query as worklist_query
from onestory.referral.worklist.query import read_code_or_id, read_instant
from onestory.referral.worklist.service import Worklists
from onestory.shared.errors import Malformed
from onestory.shared.fhir.bundle import etag
from onestory.shared.fhir.dates import format_instant
from onestory.shared.http.cursor import TimeCursor, parse_time_cursor
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database

PATH = "/notices"
PARAMETERS = ("team", "since", "count", "cursor")


class ReadNotices:
    """Answers a page of notices as JSON.

    They are the notices of one team; or those of the caller's organisation and of all teams that the caller may read.
    """

    def __init__(self, database: Database, lists: Worklists, audit: ReferralAudit, base_url: str) -> None:
        self._database = database
        self._lists = lists
        self._audit = audit
        self._base_url = base_url

    async def __call__(self, request: Request, caller: Caller) -> Response:
        parameters = worklist_query.read_parameters(request, PARAMETERS)
        cursor, limit = parameters.pop("cursor", ""), worklist_query.read_page_size(parameters, "count")
        organisation, teams = await self._parties(caller, read_code_or_id(parameters, "team"))
        after = _parse_cursor(cursor) if cursor else None
        async with self._database.snapshot() as queries:
            next_since = after.at if after else await notices_store.next_since(queries)
            matches = await notices_store.page(
                queries, organisation, teams, read_instant(parameters, "since"), after, limit + 1
            )
        notices = matches[:limit]
        next_cursor = (
            TimeCursor(next_since, notices[-1].kept_at, str(notices[-1].number)) if len(matches) > limit else None
        )
        ids = [notice.referral_id or notice.appointment_id for notice in notices]
        await self._audit.record_read(caller, ids, "notices", "Task", request.state.correlation_id)
        query = next_cursor and urlencode({**parameters, "cursor": next_cursor.encode()})
        answer = {
            "notices": [_notice_json(notice) for notice in notices],
            "since": format_instant(next_since),
            "next": f"{self._base_url}{PATH}?{query}" if query else None,
        }
        return Response(orjson.dumps(answer), media_type="application/json")

    async def _parties(self, caller: Caller, team_id: str) -> tuple[str, Sequence[str]]:
        """The organisation (empty: none) and the teams whose notices are read."""
        if team_id:
            return "", (await self._lists.team_scope(caller, team_id)).teams
        return caller.organisation, [team.team_id for team in await self._lists.readable_teams(caller)]


def _notice_json(notice: StoredNotice) -> dict[str, Any]:
    return {
        "notice": str(notice.number),
        "code": notice.reason,
        "organisation": notice.party.organisation,
        "team": notice.party.team,
        "as": notice.recipient,
        "referral": notice.referral_id,
        "task": notice.task_id,
        "version": etag(notice.event_id),
        "number": notice.version,
        "action": notice.action,
        "reason": notice.change_reason,
        "status": notice.status,
        "at": format_instant(notice.at),
        "appointments": [shown_appointment(appointment) for appointment in notice.appointments],
    }


def _parse_cursor(cursor: str) -> TimeCursor:
    decoded = parse_time_cursor(cursor)
    if not re.fullmatch(r"\d{1,18}", decoded.item_id):
        raise Malformed("This cursor belongs to another list: start again without a cursor.", code="value")
    return decoded
