"""Shows a HealthcareService with the claims that count: its DoS service id, and the practices that it serves. Pure."""

from __future__ import annotations

from collections.abc import Collection

import orjson

from onestory.referral.directory.model import Json
from onestory.referral.directory.rows import PRACTICE_SERVED
from onestory.shared.identity import ODS_CODE_SYSTEM, is_dos_service_system


def with_usable_claims(content: bytes, dos_service_id: str, practices: Collection[str]) -> bytes:
    """Return the HealthcareService with this DoS service id only (empty: none), and with these practices.

    A search shows no claim that somebody else owns: a reader would take the team for the owner's.
    """
    resource = orjson.loads(content)
    identifiers = [
        each
        for each in resource.get("identifier", ())
        if not is_dos_service_system(each.get("system")) or each.get("value") == dos_service_id
    ]
    others = [each for each in resource.get("extension", ()) if each.get("url") != PRACTICE_SERVED]
    extensions: list[Json] = [*others, *(_served(practice) for practice in sorted(practices))]
    changed = {**resource, "identifier": identifiers, "extension": extensions}
    return orjson.dumps({name: value for name, value in changed.items() if value != []})


def _served(practice: str) -> Json:
    return {"url": PRACTICE_SERVED, "valueIdentifier": {"system": ODS_CODE_SYSTEM, "value": practice}}
