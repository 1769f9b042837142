"""OpenAPI descriptions of the routes of worklists, breaches and notices: parameters and answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onestory.referral.clocks.domain import KINDS, PRIORITIES
from onestory.referral.worklist.api import SORT_BY_PARAMETER
from onestory.referral.worklist.domain import OPEN_STATUSES, RECIPIENT_STATUSES
from onestory.referral.worklist.query import DEFAULT_PAGE_SIZE, FILTER_PARAMETERS, MAX_PAGE_SIZE, PAGE_PARAMETERS
from onestory.shared.http.openapi import (
    EVENT_STREAM,
    FHIR_JSON,
    Parameter,
    ResponseDescription,
    RouteDescription,
    count_schema,
)

_TEXT = {"type": "string"}
_INSTANT_OR_NULL = {"type": ["string", "null"], "format": "date-time"}
_INSTANT = {"type": "string", "format": "date-time"}
_NEXT_URL = {"type": ["string", "null"], "format": "uri"}
_NUMBER = {"type": "integer", "minimum": 0}


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [*properties], "properties": properties}


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


_PARTY = _object(organisation=_TEXT, organisationName=_TEXT, team=_TEXT, teamName=_TEXT)
ROW = _object(
    referral=_TEXT,
    task=_TEXT,
    version={**_TEXT, "description": "The ETag of the Task: send it in If-Match."},
    person=_object(system=_TEXT, value=_TEXT),
    kind={**_TEXT, "enum": [*KINDS]},
    priority={**_TEXT, "enum": [*PRIORITIES]},
    status={**_TEXT, "enum": [*OPEN_STATUSES]},
    businessStatus=_TEXT,
    code={**_TEXT, "description": "The code of the ServiceRequest, as text."},
    reason={**_TEXT, "description": "The reasons of the ServiceRequest, as text."},
    statusReason={**_TEXT, "description": "The reason of the status, such as rejected or on hold."},
    requester=_PARTY,
    recipient=_PARTY,
    holder=_or_null(_PARTY),
    nextActor=_or_null(_PARTY),
    yourTurn={"type": "boolean", "description": "Whether the team or organisation of the list has to act by dueAt."},
    claimedBy=_or_null(_object(user=_TEXT, name=_TEXT)),
    dueAt=_INSTANT_OR_NULL,
    breached={"type": "boolean", "description": "Whether dueAt has passed."},
    escalatedAt=_INSTANT_OR_NULL,
    sentAt=_INSTANT_OR_NULL,
    changedAt=_INSTANT_OR_NULL,
)
_COUNT_BY_NAME = {"type": "object", "additionalProperties": _NUMBER}
_WORKLIST = _object(
    at=_INSTANT_OR_NULL,
    counts=_object(
        total=_NUMBER, breached=_NUMBER, unclaimed=_NUMBER, byStatus=_COUNT_BY_NAME, byPriority=_COUNT_BY_NAME
    ),
    rows={"type": "array", "items": ROW},
    next=_NEXT_URL,
)
_TEAM = _object(team=_TEXT, name=_TEXT, organisation=_TEXT, dosServiceId=_TEXT, active={"type": "boolean"})

TEAMS = RouteDescription(
    "worklists",
    [Parameter("name", "query", "A part of the name, the id in the directory, or the DoS service id.")],
    responses=[
        ResponseDescription(
            200,
            "The teams whose worklists the caller may read.",
            "application/json",
            _object(teams={"type": "array", "items": _TEAM}),
        )
    ],
)
TASKS = RouteDescription(
    "searchTasksOfOwner",
    [
        Parameter(
            "owner", "query", "HealthcareService/<id>. Without an owner the record service answers, for one person."
        ),
        Parameter("owner:identifier", "query", "Instead of owner: the system of ODS codes, | and a code."),
        Parameter("status", "query", f"One or more of {', '.join(RECIPIENT_STATUSES)}, comma separated."),
        Parameter("priority", "query", f"One or more of {', '.join(PRIORITIES)}, comma separated."),
        Parameter("_sort", "query", "The default is -priority.", values=[*SORT_BY_PARAMETER]),
        Parameter("_count", "query", "Tasks on a page.", limits=count_schema(1, MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE)),
    ],
    responses=[
        ResponseDescription(
            200,
            "The open Tasks that the team, or the organisation's teams, have received and not given back.",
            FHIR_JSON,
            "Bundle",
        )
    ],
)


def describe_list(path: str) -> RouteDescription:
    """Describe the route that reads the list of this path."""
    return RouteDescription(
        _operation_id(path),
        [*FILTER_PARAMETERS, *PAGE_PARAMETERS],
        responses=[
            ResponseDescription(
                200,
                "A page of rows, the counts of all pages, and the link to the next page.",
                "application/json",
                _WORKLIST,
            )
        ],
    )


def describe_letters(path: str) -> RouteDescription:
    """Describe the route that lists the letters outstanding of the list of this path."""
    answer = "Completed referrals without a letter, the longest completed first, and the link to the next page."
    row = {**ROW, "properties": {**ROW["properties"], "completedAt": _INSTANT}}
    page = _object(rows={"type": "array", "items": row}, next=_NEXT_URL)
    return RouteDescription(
        _operation_id(path, "letters"),
        [*_COUNT_AND_CURSOR],
        responses=[ResponseDescription(200, answer, "application/json", page)],
    )


def describe_events(path: str) -> RouteDescription:
    """Describe the route that follows the list of this path."""
    header = "The id of the last event received: the changes after it are sent first, or `reset`."
    answer = (
        "Server-Sent Events. open: the stream starts. changed: a row as it is now. gone: a row left, {referral, "
        "reason}; the reason is the status with which it left, elsewhere or filtered. reset: reread the list. late: "
        "changes are late by {seconds}; 0 once they are not. closed: the token or the right to read "
        "has ended, {reason}. Heartbeats are comments, every 15 seconds."
    )
    return RouteDescription(
        _operation_id(path, "events"),
        [*FILTER_PARAMETERS, Parameter("Last-Event-ID", "header", header)],
        responses=[ResponseDescription(200, answer, EVENT_STREAM)],
    )


def _operation_id(path: str, *parts: str) -> str:
    return "worklist" + "".join(part.capitalize() for part in (path.split("/")[2], *parts))


_TEAM_PARAMETER = Parameter("team", "query", "Directory id of a team: only what concerns this team.")
_COUNT_AND_CURSOR = (
    Parameter("count", "query", "Items on a page.", limits=count_schema(1, MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE)),
    Parameter("cursor", "query", "The cursor from the next link of the page before."),
)

BREACHES = RouteDescription(
    "worklistBreaches",
    [
        _TEAM_PARAMETER,
        Parameter("organisation", "query", "ODS code: only referrals of which this organisation is a party."),
        Parameter("since", "query", "Only referrals that are late since this instant or later."),
        *_COUNT_AND_CURSOR,
    ],
    responses=[
        ResponseDescription(
            200,
            "Late referrals, the longest late first; how many there are and how many were escalated; the next page.",
            "application/json",
            _object(
                at=_INSTANT,
                counts=_object(total=_NUMBER, escalated=_NUMBER),
                rows={"type": "array", "items": ROW},
                next=_NEXT_URL,
            ),
        )
    ],
)
NOTICES = RouteDescription(
    "notices",
    [
        _TEAM_PARAMETER,
        Parameter("since", "query", "Only notices from this instant on: send `since` of the answer before."),
        *_COUNT_AND_CURSOR,
    ],
    responses=[
        ResponseDescription(
            200,
            "Notices, the newest first; the next page; `since` for the next request, which repeats some notices.",
            "application/json",
            _object(
                notices={
                    "type": "array",
                    "items": _object(
                        notice={**_TEXT, "description": "The id of the notice: the same when the notice is repeated."},
                        code={**_TEXT, "description": "A code of the CodeSystem referral-notice."},
                        organisation=_TEXT,
                        team=_TEXT,
                        **{
                            "as": {
                                **_TEXT,
                                "enum": ["requester", "recipient", "holder", "practice", "journey", "escalation"],
                            }
                        },
                        referral=_TEXT,
                        task=_TEXT,
                        version={**_TEXT, "description": "The ETag of the Task after the change."},
                        number={**_NUMBER, "description": "The number of the change of the referral: 1, 2, 3, ..."},
                        action=_TEXT,
                        reason={**_TEXT, "description": "Code of the reason that was given for the change."},
                        status=_TEXT,
                        at=_INSTANT,
                    ),
                },
                since=_INSTANT,
                next=_NEXT_URL,
            ),
        )
    ],
)
