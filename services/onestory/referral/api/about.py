"""What the routes of the referral API take and answer, as its description tells it."""

from __future__ import annotations

from collections.abc import Collection

from onestory.referral.api.parameters import takes
from onestory.referral.api.teams import WHAT_IS
from onestory.referral.domain.machine import NEEDS_REASON, Action
from onestory.shared.body import MEDIA_TYPES
from onestory.shared.headers import LONGEST_KEY
from onestory.shared.openapi import FHIR_JSON, About, Answer, Body, Parameter

_KEY = Parameter("Idempotency-Key", "header", f"1 to {LONGEST_KEY} printable ASCII characters. Repeating is harmless.")
_IF_MATCH = Parameter("If-Match", "header", "The ETag of the Task as the caller knows it.", required=True)
_TAGGED = {"ETag": "Its version.", "Last-Modified": "When it was changed.", "Content-Location": "Where it is."}
_UNKNOWN = Answer(503, "The outcome is unknown: repeat with the same key.", FHIR_JSON, "OperationOutcome")

CREATE = About(
    "refer",
    [_KEY],
    Body(MEDIA_TYPES, "Resource", "A ServiceRequest whose performer is a team of the directory."),
    [
        Answer(
            201,
            "The referral as it was sent. Its Task, which the team works with, is in Link.",
            FHIR_JSON,
            "Resource",
            {**_TAGGED, "Location": "The ServiceRequest.", "Link": "The Task, as rel=related."},
        ),
        Answer(200, "The same key made it before: as it is now.", FHIR_JSON, "Resource", _TAGGED),
        _UNKNOWN,
    ],
)

_REFUSED = [
    Answer(412, "It was changed meanwhile: the Task as it is now is contained.", FHIR_JSON, "OperationOutcome"),
    Answer(428, "Send If-Match.", FHIR_JSON, "OperationOutcome"),
    _UNKNOWN,
]

MESSAGE = About(
    "taskMessage",
    [_IF_MATCH, _KEY],
    Body(MEDIA_TYPES, "Parameters", "Parameters: category (question, answer or information), text, attachment, about."),
    [
        Answer(
            200,
            "The message, a Communication.",
            FHIR_JSON,
            "Resource",
            {**_TAGGED, "ETag": "The version of the Task as it is now: what the next operation sends in If-Match."},
        ),
        *_REFUSED,
    ],
)

MESSAGES = About(
    "taskMessages",
    [
        Parameter("_count", "query", "At most so many messages on a page; 100 where nothing is said."),
        Parameter("_cursor", "query", "Where a page begins: taken from a next link as it is."),
    ],
    answers=[Answer(200, "The messages of the referral, in the order in which they were sent.", FHIR_JSON, "Resource")],
)

CONVERT = About(
    "taskConvert",
    [_IF_MATCH, _KEY],
    Body(MEDIA_TYPES, "Parameters", "Parameters: recipient, priority. Nothing: to the team that was asked for advice."),
    [
        Answer(
            200,
            "The referral that the advice has become. Its Task, which the team works with, is in Link.",
            FHIR_JSON,
            "Resource",
            {**_TAGGED, "Location": "The ServiceRequest.", "Link": "The Task, as rel=related."},
        ),
        *_REFUSED,
    ],
)


TEAMS = About(
    "findTeams",
    [Parameter(name, "query", says) for name, says in WHAT_IS.items()],
    answers=[Answer(200, "A page of teams, in the order of their names.", FHIR_JSON, "Bundle")],
)


def operation(action: Action) -> About:
    """Of one operation of the state machine."""
    return change(action, takes(action), needs_reason=action in NEEDS_REASON)


def change(action: str, takes: Collection[str], *, needs_reason: bool = False) -> About:
    """Of one operation on a Task, which takes these parameters."""
    says = f"Parameters: {', '.join(takes)}." if takes else "Nothing, or empty Parameters."
    if needs_reason:
        says += " reason is required."
    return About(
        f"task{action.capitalize()}",
        [_IF_MATCH, _KEY],
        Body(MEDIA_TYPES, "Parameters", says),
        [
            Answer(200, "The Task as it is now.", FHIR_JSON, "Resource", _TAGGED),
            *_REFUSED,
        ],
    )


def read(resource_type: str) -> About:
    """Of reading one resource of a referral."""
    return About(
        f"read{resource_type}",
        [Parameter("If-None-Match", "header", "The ETag that the caller has: 304 while nothing has changed.")],
        answers=[Answer(200, "As it is now.", FHIR_JSON, "Resource", _TAGGED), Answer(304, "Nothing has changed.")],
    )
