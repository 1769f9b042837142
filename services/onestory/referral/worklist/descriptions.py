"""OpenAPI descriptions of the routes of worklists, breaches and notices: parameters and answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onestory.referral.clocks.domain import KINDS, PRIORITIES
from onestory.referral.worklist.api import SORT_BY_PARAMETER
from onestory.referral.worklist.domain import OPEN_STATUSES, RECIPIENT_STATUSES
from onestory.referral.worklist.query import DEFAULT_PAGE_SIZE, FILTER_PARAMETERS, MAX_PAGE_SIZE, PAGE_PARAMETERS
from onestory.shared.http.openapi import EVENT_STREAM, FHIR_JSON, Parameter, ResponseDescription, RouteDescription

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
    code={**_TEXT, "description": "What is asked for."},
    reason={**_TEXT, "description": "Why it is asked for."},
    statusReason={**_TEXT, "description": "Why it is rejected, on hold, passed on."},
    requester=_PARTY,
    recipient=_PARTY,
    holder=_or_null(_PARTY),
    nextActor=_or_null(_PARTY),
    yourTurn={"type": "boolean", "description": "Whether it is whose list it is that has to act by dueAt."},
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
        Parameter("owner", "query", "HealthcareService/<id>. Without an owner the record answers, of one person."),
        Parameter("owner:identifier", "query", "Instead of owner: the system of ODS codes, | and a code."),
        Parameter("status", "query", f"Of {', '.join(RECIPIENT_STATUSES)}; several, comma separated."),
        Parameter("priority", "query", f"Of {', '.join(PRIORITIES)}; several, comma separated."),
        Parameter("_sort", "query", "The default is -priority.", values=[*SORT_BY_PARAMETER]),
        Parameter("_count", "query", "Tasks on a page."),
    ],
    responses=[
        ResponseDescription(200, "What a team was asked, or all teams, and has not given back.", FHIR_JSON, "Bundle")
    ],
)


def describe_list(path: str) -> RouteDescription:
    """Describe the route that reads the list of this path."""
    return RouteDescription(
        _operation_id(path),
        [*FILTER_PARAMETERS, *PAGE_PARAMETERS],
        responses=[
            ResponseDescription(
                200, "A page of rows; counts of all pages; where the next one is.", "application/json", _WORKLIST
            )
        ],
    )


def describe_events(path: str) -> RouteDescription:
    """Describe the route that follows the list of this path."""
    header = "The id of the last event that arrived: what came after it is sent first, or `reset`."
    answer = (
        "Server-Sent Events. open: it begins. changed: a row as it is now. gone: a row left, {referral, reason}, where "
        "reason is the status with which it left, elsewhere or filtered. reset: read the list anew. late: changes "
        "cannot be told at present, for so many {seconds}; 0 once they can. closed: the token "
        "or the right to read has ended, {reason}. Heartbeats are comments, every 15 seconds."
    )
    return RouteDescription(
        _operation_id(path, "events"),
        [*FILTER_PARAMETERS, Parameter("Last-Event-ID", "header", header)],
        responses=[ResponseDescription(200, answer, EVENT_STREAM)],
    )


def _operation_id(path: str, *parts: str) -> str:
    return "worklist" + "".join(part.capitalize() for part in (path.split("/")[2], *parts))


_TEAM_PARAMETER = Parameter("team", "query", "Only this team's: its id in the directory.")
_COUNT_AND_CURSOR = (
    Parameter("count", "query", f"On a page, 1 to {MAX_PAGE_SIZE}; {DEFAULT_PAGE_SIZE} where it is left out."),
    Parameter("cursor", "query", "Where the page begins, as next of the page before says it."),
)

BREACHES = RouteDescription(
    "worklistBreaches",
    [
        _TEAM_PARAMETER,
        Parameter("organisation", "query", "Only where this organisation takes part: its ODS code."),
        Parameter("since", "query", "Only what is late since this instant."),
        *_COUNT_AND_CURSOR,
    ],
    responses=[
        ResponseDescription(
            200,
            "What is late, the longest first; how many there are and how many of them were escalated; the next page.",
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
        Parameter("since", "query", "From this instant on: since of the answer before."),
        *_COUNT_AND_CURSOR,
    ],
    responses=[
        ResponseDescription(
            200,
            "What one was told, the newest first; the next page; since when to ask again: some comes twice then.",
            "application/json",
            _object(
                notices={
                    "type": "array",
                    "items": _object(
                        notice={**_TEXT, "description": "Its name: the same when it is told again."},
                        code={**_TEXT, "description": "Of the CodeSystem referral-notice."},
                        organisation=_TEXT,
                        team=_TEXT,
                        **{"as": {**_TEXT, "enum": ["requester", "recipient", "holder", "escalation"]}},
                        referral=_TEXT,
                        task=_TEXT,
                        version={**_TEXT, "description": "The ETag of the Task after the change."},
                        number={**_NUMBER, "description": "Which change of the referral it is: 1, 2, 3, ..."},
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
