"""Which statement stands for a fact: the one that is safest to read first; the others stand behind it.

What is there comes before what has gone, the worse before the milder, the surer before the less sure, then the newest.
"""

from __future__ import annotations

from typing import Any

from onestory.record.domain.merge.reading import Reading
from onestory.record.domain.merge.shape import bare_codes, objects, text

_STANDING = {"current": 3, "": 2, "paused": 2, "completed": 1, "stopped": 1}
_CRITICALITY = {"high": 3, "unable-to-assess": 2, "low": 1}
_SEVERITY = {"severe": 3, "moderate": 2, "mild": 1}
_SURE = {"confirmed": 4, "unconfirmed": 2, "provisional": 2, "differential": 1, "refuted": 3}
_STATUS = {"corrected": 3, "amended": 3, "final": 2, "preliminary": 1, "registered": 0}


def standing_order(reading: Reading) -> tuple[Any, ...]:
    """The greatest is shown."""
    content, said = reading.content, reading.said
    return (
        not reading.withdrawn,
        3
        if reading.said.resource_type == "AllergyIntolerance" and not reading.standing
        else _STANDING[reading.standing],
        *_danger(reading),
        max((_SURE.get(code, 0) for code in bare_codes(content.get("verificationStatus"))), default=0),
        _STATUS.get(text(content.get("status")), 2),
        said.recorded_at,
        said.event_id,
        said.shared_id,
    )


def _danger(reading: Reading) -> tuple[int, int]:
    content = reading.content
    severities = (_SEVERITY.get(text(each.get("severity")), 0) for each in objects(content.get("reaction")))
    return _CRITICALITY.get(text(content.get("criticality")), 0), max(severities, default=0)
