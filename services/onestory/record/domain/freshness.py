"""How fresh what a source says is: honest about silence and gaps (design section 1, promise 5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Freshness:
    """One source, as far as a reader may know of it.

    `heard_at`: when the source was last heard of at all, whoever it spoke of; `said_at`: when it last said something of
    this person. `missing`: how many statements its sequence shows to be missing. `parked`: how many of its statements
    of this person wait because they could not be used. `stale`: it has been silent for longer than is expected of it.
    `former_until`: it is a practice where the person was registered until that day; None: it is not.
    """

    organisation: str
    system: str
    heard_at: datetime
    said_at: datetime
    missing: int = 0
    parked: int = 0
    stale: bool = False
    former_until: date | None = None
