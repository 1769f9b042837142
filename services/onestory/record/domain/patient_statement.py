"""A source's Patient statement, and who is heard first."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PatientStatement:
    """What one source says of a person. `said_at` (microseconds) tells which of two sources is the newer."""

    shared_id: str
    event_id: UUID | str
    organisation: str
    said_at: int
    broker_time: datetime | None
    content: bytes


def by_standing(
    statements: Iterable[PatientStatement], authorities: Collection[str], practice: str | None
) -> list[PatientStatement]:
    """Who is heard first (design section 5): the authority, then the registered practice, then the newest."""

    def standing(said: PatientStatement) -> tuple[bool, bool, int, str, str]:
        return (
            said.organisation in authorities,
            said.organisation == practice,
            said.said_at,
            str(said.event_id),
            said.shared_id,
        )

    return sorted(statements, key=standing, reverse=True)
