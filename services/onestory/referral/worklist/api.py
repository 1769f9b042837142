"""Routes of worklists: the open referrals of a team, of an organisation, or of the caller across teams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import ReferralAudit
from onestory.referral.clocks.domain import PRIORITIES
from onestory.referral.worklist import query as worklist_query
from onestory.referral.worklist.domain import (
    OPEN_STATUSES,
    RECIPIENT_STATUSES,
    Filters,
    Sort,
    WorklistCursor,
    WorklistScope,
    parse_worklist_cursor,
)
from onestory.referral.worklist.feed import ListChange, WorklistFeed, WorklistListener
from onestory.referral.worklist.query import WorklistQuery
from onestory.referral.worklist.service import WorklistPage, Worklists
from onestory.referral.worklist.store import StatusCount
from onestory.shared.errors import Forbidden, Malformed, NotFound, Unavailable
from onestory.shared.fhir.dates import format_instant
from onestory.shared.http.app import TryNextRoute
from onestory.shared.http.openapi import FHIR_JSON
from onestory.shared.http.sse import EventStreamResponse, encode_event, encode_heartbeat
from onestory.shared.identity import is_ods_code_system
from onestory.shared.policy import Caller

INTERACTION = "worklist"
ScopeLookup = Callable[[Request, Caller], Awaitable[WorklistScope]]
"""Returns the scope of the list that a request names. Raises `NotFound` and `Forbidden`."""


def scope_lookups(lists: Worklists) -> dict[str, ScopeLookup]:
    """The path of each list, with the lookup of its scope."""

    async def team(request: Request, caller: Caller) -> WorklistScope:
        return await lists.team_scope(caller, request.path_params["team"])

    async def organisation(request: Request, caller: Caller) -> WorklistScope:
        return await lists.organisation_scope(caller, request.path_params["ods"])

    async def mine(_request: Request, caller: Caller) -> WorklistScope:
        return await lists.user_scope(caller)

    return {"/worklists/teams/{team}": team, "/worklists/organisations/{ods}": organisation, "/worklists/mine": mine}


class ReadList:
    """Answers a page of a list as JSON. The access events of all persons on it are recorded before it is sent."""

    def __init__(self, lookup: ScopeLookup, lists: Worklists, audit: ReferralAudit, base_url: str) -> None:
        self._lookup = lookup
        self._lists = lists
        self._audit = audit
        self._base_url = base_url

    async def __call__(self, request: Request, caller: Caller) -> Response:
        query = worklist_query.read_page_query(request)
        scope = await self._lookup(request, caller)
        page = await self._lists.page(scope, query.filters, query.sort, query.page_size, query.cursor)
        referral_ids = [referral.referral_id for referral in page.referrals]
        _, rows = await asyncio.gather(
            self._audit.record_read(caller, referral_ids, INTERACTION, "Task", request.state.correlation_id),
            self._lists.rows_to_json(page.referrals, scope),
        )
        next_url = self._next_url(request, query, page.next) if page.next else None
        return _json_response({"at": format_instant(page.at), "counts": _counts(page), "rows": rows, "next": next_url})

    def _next_url(self, request: Request, query: WorklistQuery, cursor: WorklistCursor) -> str:
        path = request.url.path
        parameters = urlencode({**query.parameters, "cursor": query.next_cursor(path, cursor)}, safe=",")
        return f"{self._base_url}{path}?{parameters}"


class ListTeams:
    """`GET /worklists/teams`: the teams whose lists the caller may read. `name` is part of a team's name, or an id."""

    def __init__(self, lists: Worklists) -> None:
        self._lists = lists

    async def __call__(self, request: Request, caller: Caller) -> Response:
        wanted = worklist_query.read_parameters(request, ("name",)).get("name", "").casefold()
        teams = [
            {
                "team": team.team_id,
                "name": team.name,
                "organisation": team.organisation,
                "dosServiceId": team.dos_service_id,
                "active": team.active,
            }
            for team in await self._lists.readable_teams(caller)
            if wanted in team.name.casefold() or wanted in (team.team_id, team.dos_service_id)
        ]
        return _json_response({"teams": teams})


def _counts(page: WorklistPage) -> dict[str, Any]:
    return {
        "total": page.total,
        "breached": sum(count.breached for count in page.counts),
        "unclaimed": sum(count.unclaimed for count in page.counts),
        "byStatus": _non_zero(map(str, OPEN_STATUSES), ((count.status, count) for count in page.counts)),
        "byPriority": _non_zero(reversed(PRIORITIES), ((count.priority, count) for count in page.counts)),
    }


def _non_zero(names: Iterable[str], counts: Iterable[tuple[str, StatusCount]]) -> dict[str, int]:
    """The sum of the counts of each name, in the order of `names`, without those that are 0."""
    sums = dict.fromkeys(names, 0)
    for name, count in counts:
        sums[name] += count.number
    return {name: number for name, number in sums.items() if number}


def _json_response(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


OWNER = "owner"
OWNER_IDENTIFIER = "owner:identifier"
SORT_BY_PARAMETER = {
    "-priority": Sort.URGENCY,
    "authored-on": Sort.SENT,
    "-modified": Sort.CHANGED,
    "-_lastUpdated": Sort.CHANGED,
}
_SEARCH_PARAMETERS = (OWNER, OWNER_IDENTIFIER, "status", "priority", "_sort", "_count", "_cursor")
_PERSON_PARAMETERS = {"patient", "subject", "_id", "identifier", "encounter", "focus", "based-on"}


class SearchTasks:
    """`GET /fhir/Task?owner=HealthcareService/<id>`: a team's open Tasks (http://hl7.org/fhir/R4/http.html#search).

    A search without `owner`, or for one person, goes on to the record service.
    """

    def __init__(self, lists: Worklists, audit: ReferralAudit, base_url: str) -> None:
        self._lists = lists
        self._audit = audit
        self._base_url = base_url

    async def __call__(self, request: Request, caller: Caller) -> Response:
        names = {name.partition(":")[0].partition(".")[0] for name in request.query_params}
        if OWNER not in names or names & _PERSON_PARAMETERS:
            raise TryNextRoute
        parameters = worklist_query.read_parameters(request, _SEARCH_PARAMETERS)
        cursor_text = parameters.pop("_cursor", "")
        filters = Filters(
            status=worklist_query.read_words(parameters, "status", RECIPIENT_STATUSES),
            priority=worklist_query.read_words(parameters, "priority", PRIORITIES),
        )
        sort, page_size = _read_sort(parameters), worklist_query.read_page_size(parameters, "_count")
        cursor = parse_worklist_cursor(cursor_text, parameters, sort) if cursor_text else None
        page = await self._lists.page(await self._scope(parameters, caller), filters, sort, page_size, cursor)
        referral_ids = [referral.referral_id for referral in page.referrals]
        await self._audit.record_read(caller, referral_ids, INTERACTION, "Task", request.state.correlation_id)
        next_url = self._url({**parameters, "_cursor": page.next.encode(parameters)}) if page.next else ""
        tasks = await self._lists.tasks(page.referrals)
        self_url = self._url({**parameters, **({"_cursor": cursor_text} if cursor_text else {})})
        return Response(self._searchset(page.total, self_url, next_url, tasks), media_type=FHIR_JSON)

    async def _scope(self, parameters: Mapping[str, str], caller: Caller) -> WorklistScope:
        if OWNER in parameters and OWNER_IDENTIFIER in parameters:
            raise Malformed(f"Send {OWNER} or {OWNER_IDENTIFIER}, not both.", code="invariant")
        if OWNER_IDENTIFIER in parameters:
            system, _, ods = parameters[OWNER_IDENTIFIER].rpartition("|")
            if not is_ods_code_system(system) or not ods:
                raise Malformed(f"{OWNER_IDENTIFIER}: send the system of ODS codes, | and an ODS code.", code="value")
            return await self._lists.owner_scope(caller, ods)
        kind, _, team_id = parameters[OWNER].rpartition("/")
        if kind not in ("", "HealthcareService", f"{self._base_url}/HealthcareService") or not team_id:
            raise Malformed(f"{OWNER}: send HealthcareService/<id in the directory>.", code="value")
        scope = await self._lists.team_scope(caller, team_id)
        return WorklistScope(teams=scope.teams, claimer=scope.claimer, received_only=True)

    def _url(self, parameters: Mapping[str, str]) -> str:
        return f"{self._base_url}/Task?{urlencode(parameters, safe=',|/:')}"

    def _searchset(self, total: int, self_url: str, next_url: str, tasks: Iterable[tuple[str, bytes]]) -> bytes:
        links = [{"relation": "self", "url": self_url}, *([{"relation": "next", "url": next_url}] if next_url else [])]
        entries = b",".join(
            b'{"fullUrl":"%s/Task/%s","resource":%s,"search":{"mode":"match"}}'
            % (self._base_url.encode(), task_id.encode(), content)
            for task_id, content in tasks
        )
        head = orjson.dumps({"resourceType": "Bundle", "type": "searchset", "total": total, "link": links})
        return head if not entries else head[:-1] + b',"entry":[' + entries + b"]}"


def _read_sort(parameters: Mapping[str, str]) -> Sort:
    wanted = parameters.get("_sort", "-priority")
    if wanted not in SORT_BY_PARAMETER:
        raise Malformed(f"_sort: send {' or '.join(SORT_BY_PARAMETER)}.", code="value")
    return SORT_BY_PARAMETER[wanted]


_HEARTBEAT_S = 15.0
_LATE_S = 10.0


@dataclass(frozen=True, slots=True)
class _FollowRequest:
    """A request that follows a list, with its filters and its listener."""

    request: Request
    caller: Caller
    filters: Filters
    listener: WorklistListener


class FollowList:
    """`GET /worklists/.../events`: the changes of a list, as Server-Sent Events.

    - `open`: the stream has started; its id is the position.
    - `changed`: a row as it is now. `gone`: a row that left the list, with the reason.
    - `reset`: changes may be missing, so read the list again.
    - `late`: changes are late by this number of seconds; 0 once they are not.
    - `closed`: the stream ends, because the token has expired or the caller may no longer read the list.

    The caller's access is checked before each event, and at each heartbeat.
    """

    def __init__(self, lookup: ScopeLookup, lists: Worklists, audit: ReferralAudit, feed: WorklistFeed) -> None:
        self._lookup = lookup
        self._lists = lists
        self._audit = audit
        self._feed = feed

    async def __call__(self, request: Request, caller: Caller) -> Response:
        filters = worklist_query.read_filters(request)
        scope = await self._lookup(request, caller)
        listener = self._feed.add_listener(scope, caller, request.headers.get("Last-Event-ID", ""))
        following = _FollowRequest(request, caller, filters, listener)
        return EventStreamResponse(self._events(following), partial(self._feed.remove_listener, listener))

    async def _events(self, following: _FollowRequest) -> AsyncGenerator[bytes]:
        listener, expires_at, was_late = following.listener, following.caller.expires_at, False
        yield encode_event("open", {}, listener.position)
        # The stream ends where access cannot be checked or recorded. A reader who reconnects resumes after the last id.
        with suppress(Unavailable):
            while not self._feed.stopping:
                (changes, missed), position, before = listener.take(), self._feed.position, listener.scope
                if reason := await self._closing_reason(following):
                    yield encode_event("closed", reason, listener.position)
                    return
                if missed or listener.scope.teams != before.teams:
                    yield encode_event("reset", {}, listener.position)
                async for event in self._row_events(following, changes, before):
                    yield event
                is_late = (seconds := max(await self._lists.delay_s(), self._feed.silence_s)) >= _LATE_S
                if is_late or was_late:
                    yield encode_event("late", {"seconds": int(seconds) if is_late else 0}, listener.position)
                listener.position, was_late = position, is_late
                yield encode_heartbeat(position)
                await listener.wait(min(_HEARTBEAT_S, expires_at - time.time()))

    async def _closing_reason(self, following: _FollowRequest) -> Mapping[str, str] | None:
        """Return why the caller may no longer follow the list; None where they may. Updates the listener's scope."""
        if time.time() >= following.caller.expires_at:
            return {"reason": "token-expired", "diagnostics": "The token has expired: connect again with a new one."}
        try:
            following.listener.scope = await self._lookup(following.request, following.caller)
        except (Forbidden, NotFound) as error:
            return {"reason": "not-permitted", "diagnostics": error.issues[0].diagnostics}
        return None

    async def _row_events(
        self, following: _FollowRequest, changes: Collection[ListChange], before: WorklistScope
    ) -> AsyncGenerator[bytes]:
        """Yield `changed` for rows on the list, then `gone`, once the access events of both are recorded."""
        if not changes:
            return
        listener, referral_ids = following.listener, {change.referral_id for change in changes}
        referrals = await self._lists.listed(listener.scope, following.filters, referral_ids)
        on_list = {referral.referral_id for referral in referrals}
        # A referral that never was on the list yields no event.
        affected = {
            change.referral_id for change in changes if change.affects(before) or change.affects(listener.scope)
        }
        gone = await self._lists.leaving_reasons(listener.scope, following.filters, affected - on_list)
        correlation_id = following.request.state.correlation_id
        await self._audit.record_read(following.caller, on_list | gone.keys(), INTERACTION, "Task", correlation_id)
        for row in await self._lists.rows_to_json(referrals, listener.scope):
            yield encode_event("changed", row, listener.position)
        for referral_id, reason in gone.items():
            yield encode_event("gone", {"referral": referral_id, "reason": reason}, listener.position)
