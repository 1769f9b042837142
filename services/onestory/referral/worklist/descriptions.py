"""What the routes of worklists take and answer, as the API's description tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onestory.referral.clocks.domain import KINDS, PRIORITIES
from onestory.referral.worklist.api import SORTS
from onestory.referral.worklist.domain import ACTING, OPEN
from onestory.referral.worklist.query import MOST, PAGES, PARAMETERS, USUAL
from onestory.shared.http.openapi import EVENTS, FHIR_JSON, Answer, Parameter, RouteDescription

_TEXT = {"type": "string"}
_MOMENT = {"type": ["string", "null"], "format": "date-time"}
_NUMBER = {"type": "integer", "minimum": 0}


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [*properties], "properties": properties}


def _or_null(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [said, {"type": "null"}]}


_PARTY = _object(organisation=_TEXT, organisationName=_TEXT, team=_TEXT, teamName=_TEXT)
ROW = _object(
    referral=_TEXT,
    task=_TEXT,
    version={**_TEXT, "description": "The ETag of the Task: send it in If-Match."},
    person=_object(system=_TEXT, value=_TEXT),
    kind={**_TEXT, "enum": [*KINDS]},
    priority={**_TEXT, "enum": [*PRIORITIES]},
    status={**_TEXT, "enum": [*OPEN]},
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
    dueAt=_MOMENT,
    breached={"type": "boolean", "description": "Whether dueAt has passed."},
    escalatedAt=_MOMENT,
    sentAt=_MOMENT,
    changedAt=_MOMENT,
)
_BY = {"type": "object", "additionalProperties": _NUMBER}
_WORKLIST = _object(
    at=_MOMENT,
    counts=_object(total=_NUMBER, breached=_NUMBER, unclaimed=_NUMBER, byStatus=_BY, byPriority=_BY),
    rows={"type": "array", "items": ROW},
    next={"type": ["string", "null"], "format": "uri"},
)
_TEAM = _object(team=_TEXT, name=_TEXT, organisation=_TEXT, dosServiceId=_TEXT, active={"type": "boolean"})

TEAMS = RouteDescription(
    "worklists",
    [Parameter("name", "query", "A part of the name, the id in the directory, or the DoS service id.")],
    answers=[
        Answer(
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
        Parameter("status", "query", f"Of {', '.join(ACTING)}; several, comma separated."),
        Parameter("priority", "query", f"Of {', '.join(PRIORITIES)}; several, comma separated."),
        Parameter("_sort", "query", "The default is -priority.", values=[*SORTS]),
        Parameter("_count", "query", "Tasks on a page."),
    ],
    answers=[Answer(200, "What a team was asked, or all teams, and has not given back.", FHIR_JSON, "Bundle")],
)


def page(path: str) -> RouteDescription:
    """Of reading one list."""
    return RouteDescription(
        _name(path),
        [*PARAMETERS, *PAGES],
        answers=[
            Answer(200, "A page of rows; counts of all pages; where the next one is.", "application/json", _WORKLIST)
        ],
    )


def events(path: str) -> RouteDescription:
    """Of following one list."""
    resumes = "The id of the last event that arrived: what came after it is sent first, or `reset`."
    says = (
        "Server-Sent Events. open: it begins. changed: a row as it is now. gone: a row left, {referral, reason}, where "
        "reason is the status with which it left, elsewhere or filtered. reset: read the list anew. late: changes "
        "cannot be told at present, for so many {seconds}; 0 once they can. closed: the token "
        "or the right to read has ended, {reason}. Heartbeats are comments, every 15 seconds."
    )
    return RouteDescription(
        _name(path, "events"),
        [*PARAMETERS, Parameter("Last-Event-ID", "header", resumes)],
        answers=[Answer(200, says, EVENTS)],
    )


def _name(path: str, *more: str) -> str:
    return "worklist" + "".join(each.capitalize() for each in (path.split("/")[2], *more))


# What the breach list and the notices take and answer, as the API's description tells it.

_INSTANT = {"type": "string", "format": "date-time"}
_NEXT = {"type": ["string", "null"], "format": "uri"}
_TEAM_PARAMETER = Parameter("team", "query", "Only this team's: its id in the directory.")
_PAGES = (
    Parameter("count", "query", f"On a page, 1 to {MOST}; {USUAL} where it is left out."),
    Parameter("cursor", "query", "Where the page begins, as next of the page before says it."),
)


def _json_object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [*properties], "properties": properties}


BREACHES = RouteDescription(
    "worklistBreaches",
    [
        _TEAM_PARAMETER,
        Parameter("organisation", "query", "Only where this organisation takes part: its ODS code."),
        Parameter("since", "query", "Only what is late since this instant."),
        *_PAGES,
    ],
    answers=[
        Answer(
            200,
            "What is late, the longest first; how many there are and how many of them were escalated; the next page.",
            "application/json",
            _json_object(
                at=_INSTANT,
                counts=_json_object(total=_NUMBER, escalated=_NUMBER),
                rows={"type": "array", "items": ROW},
                next=_NEXT,
            ),
        )
    ],
)
NOTICES = RouteDescription(
    "notices",
    [_TEAM_PARAMETER, Parameter("since", "query", "From this instant on: since of the answer before."), *_PAGES],
    answers=[
        Answer(
            200,
            "What one was told, the newest first; the next page; since when to ask again: some comes twice then.",
            "application/json",
            _json_object(
                notices={
                    "type": "array",
                    "items": _json_object(
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
                next=_NEXT,
            ),
        )
    ],
)
