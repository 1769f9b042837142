"""What the breach list and the notices take and answer, as the API's description tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onestory.referral.api.worklist_about import ROW
from onestory.referral.api.worklist_asking import MOST, USUAL
from onestory.shared.openapi import About, Answer, Parameter

_TEXT = {"type": "string"}
_MOMENT = {"type": "string", "format": "date-time"}
_NUMBER = {"type": "integer", "minimum": 0}
_NEXT = {"type": ["string", "null"], "format": "uri"}
_TEAM = Parameter("team", "query", "Only this team's: its id in the directory.")
_PAGES = (
    Parameter("count", "query", f"On a page, 1 to {MOST}; {USUAL} where it is left out."),
    Parameter("cursor", "query", "Where the page begins, as next of the page before says it."),
)


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [*properties], "properties": properties}


BREACHES = About(
    "worklistBreaches",
    [
        _TEAM,
        Parameter("organisation", "query", "Only where this organisation takes part: its ODS code."),
        Parameter("since", "query", "Only what is late since this instant."),
        *_PAGES,
    ],
    answers=[
        Answer(
            200,
            "What is late, the longest first; how many there are and how many of them were escalated; the next page.",
            "application/json",
            _object(
                at=_MOMENT,
                counts=_object(total=_NUMBER, escalated=_NUMBER),
                rows={"type": "array", "items": ROW},
                next=_NEXT,
            ),
        )
    ],
)
NOTICES = About(
    "notices",
    [_TEAM, Parameter("since", "query", "From this instant on: since of the answer before."), *_PAGES],
    answers=[
        Answer(
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
                        at=_MOMENT,
                    ),
                },
                since=_MOMENT,
                next=_NEXT,
            ),
        )
    ],
)
