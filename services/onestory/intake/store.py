"""What the record knows of ids in our own form: the one view that intake reads. It owns no tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onestory.intake.domain.submission import Known
from onestory.shared.database import Database
from onestory.shared.events import Source
from onestory.shared.identity import PersonIdentifier

_KNOWN = """
    select shared_id, person_system, person_value, organisation, system, resource_type, local_id
    from record.known_resource
    where person_key = any($1::text[]) and shared_id = any($2::text[])
"""
_KEY_LENGTH = 26
# A publisher waits at most five seconds for an answer, and most of them are Kafka's.
_TIMEOUT_S = 0.8


async def known_resources(database: Database, shared_ids: Iterable[str]) -> dict[str, Known]:
    """What these ids stand for, as far as the record has seen them. Raises `Unavailable`."""
    wanted = sorted(shared_ids)
    if not wanted:
        return {}
    rows = await database.fetch(_KNOWN, sorted({each[:_KEY_LENGTH] for each in wanted}), wanted)
    return {row["shared_id"]: _known(row) for row in rows}


def _known(row: Any) -> Known:
    return Known(
        person=PersonIdentifier(row["person_system"], row["person_value"]),
        source=Source(row["organisation"], row["system"]),
        resource_type=row["resource_type"],
        local_id=row["local_id"],
    )
