"""`GET /handovers` and `GET /directory/topology`: what came to a successor, and the directory as it was at a date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import ReferralAudit
from onestory.referral.directory import topology_store
from onestory.referral.succession import store as succession_store
from onestory.referral.succession.store import StoredHandover
from onestory.referral.worklist import query as worklist_query
from onestory.referral.worklist.query import read_instant
from onestory.referral.worklist.service import Worklists
from onestory.shared.errors import Malformed
from onestory.shared.events import Party
from onestory.shared.fhir.dates import format_instant, parse_date
from onestory.shared.http.openapi import Parameter, ResponseDescription, RouteDescription, count_schema
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database

HANDOVERS_PATH, TOPOLOGY_PATH = "/handovers", "/directory/topology"

_COUNT = Parameter(
    "count", "query", "Referrals in the answer.", limits=count_schema(1, worklist_query.MAX_PAGE_SIZE, 50)
)
_ITEMS = {"type": "array", "items": {"type": "object"}}
HANDOVERS = RouteDescription(
    "handovers",
    [Parameter("since", "query", "Only what was handed over from this instant on."), _COUNT],
    responses=[
        ResponseDescription(
            200,
            "What successions brought to the caller, to its organisation and to its teams, by person, the newest "
            "first. Each referral is told as it was at the handover.",
            "application/json",
            {"type": "object", "required": ["handovers"], "properties": {"handovers": _ITEMS}},
        )
    ],
)
TOPOLOGY = RouteDescription(
    "topology",
    [Parameter("at", "query", "A date or an instant; now by default.")],
    responses=[
        ResponseDescription(
            200,
            "The networks with their members by the periods of membership, the teams as they were stated by then, and "
            "the successions that had begun.",
            "application/json",
            {
                "type": "object",
                "required": ["at", "networks", "teams", "successions"],
                "properties": {
                    "at": {"type": "string", "format": "date-time"},
                    "networks": _ITEMS,
                    "teams": _ITEMS,
                    "successions": _ITEMS,
                },
            },
        )
    ],
)


class ReadHandovers:
    """Answers the handovers to the caller's organisation, to teams that the caller may read, and to the caller."""

    def __init__(self, database: Database, lists: Worklists, audit: ReferralAudit, base_url: str) -> None:
        self._database = database
        self._lists = lists
        self._audit = audit
        self._base_url = base_url

    async def __call__(self, request: Request, caller: Caller) -> Response:
        parameters = worklist_query.read_parameters(request, ("since", "count"))
        limit, since = worklist_query.read_page_size(parameters, "count"), read_instant(parameters, "since")
        teams = [team.team_id for team in await self._lists.readable_teams(caller)]
        found = await succession_store.handovers(
            self._database, caller.organisation, teams, caller.subject, since, limit
        )
        ids = [each.summary["referral"] for each in found]
        await self._audit.record_read(caller, ids, "handovers", "Task", request.state.correlation_id)
        return _json({"handovers": self._by_person(found)})

    def _by_person(self, found: Sequence[StoredHandover]) -> list[dict[str, Any]]:
        by_person: dict[tuple[str, str], dict[str, Any]] = {}
        for each in found:
            number = each.summary.get("nhsNumber", "")
            entry = by_person.setdefault(
                (each.succession_id, number or each.summary["referral"]),
                {
                    "succession": each.succession_id,
                    "kind": each.kind,
                    "from": _party(each.old, each.old_user),
                    "to": _party(each.new, each.new_user),
                    "at": format_instant(each.at),
                    "nhsNumber": number,
                    "record": f"{self._base_url}/fhir/Patient/{number}/$summary" if number else None,
                    "referrals": [],
                },
            )
            task = f"{self._base_url}/fhir/Task/{each.summary['task']}"
            told = {name: value for name, value in each.summary.items() if name != "nhsNumber"}
            entry["referrals"].append(
                {**told, "address": task, "story": f"{self._base_url}/fhir/ServiceRequest/{told['referral']}/$story"}
            )
        return list(by_person.values())


class ReadTopology:
    """Answers networks, members, teams and successions as they were at a moment. Everyone may read the directory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self, request: Request, _caller: Caller) -> Response:
        at = _moment(worklist_query.read_parameters(request, ("at",)).get("at"))
        async with self._database.snapshot() as queries:
            topology = await topology_store.topology(queries, at)
        return _json({"at": format_instant(at), **topology})


def _moment(text: str | None) -> datetime:
    """The end of a day, month or year, or the instant; now without a text. Raises `Malformed`."""
    if text is None:
        return datetime.now(UTC)
    span = parse_date(text.replace(" ", "+"))
    if span is None:
        raise Malformed("at: send a date or an instant, such as 2026-03-31.", code="value")
    return span.begin


def _party(party: Party, user: str) -> dict[str, str]:
    parts = {"organisation": party.organisation, "team": party.team, "user": user}
    return {name: value for name, value in parts.items() if value}


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
