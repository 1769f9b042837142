"""Which resources a document carries: what its sections refer to, and what these refer to in turn."""

from __future__ import annotations

import re
from collections.abc import Iterable

from onestory.record.domain.summary.record import Record

# A quote inside a JSON string is escaped, so text that looks like a reference does not match.
_REFERENCE = re.compile(rb'"reference"\s*:\s*"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]+)"')
_ALONG = frozenset(
    [
        "BodyStructure",
        "Device",
        "Location",
        "Medication",
        "Organization",
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
        "Specimen",
    ]
)
"""What a reader needs to read the rest; anything clinical is in a section, or is left out on purpose."""


def carried(record: Record, listed: Iterable[str]) -> dict[str, tuple[str, bytes]]:
    """Type and bytes by shared id, what is listed first; cycles end where they began."""
    found: dict[str, tuple[str, bytes]] = {}
    ahead = list(dict.fromkeys(listed))
    while ahead:
        further: list[str] = []
        for shared_id in ahead:
            said, content = record.said(shared_id), record.known.contents.get(shared_id)
            if said is None or content is None or shared_id in found:
                continue
            found[shared_id] = (said.resource_type, content)
            named = _REFERENCE.findall(content)
            further += sorted({target.decode() for kind, target in named if kind.decode() in _ALONG})
        ahead = further
    return found
