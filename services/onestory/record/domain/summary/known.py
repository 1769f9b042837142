"""What a summary is made of: all that a reader may know of one person, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from onestory.record.domain.freshness import Freshness
from onestory.record.domain.merge.fact import Merged


@dataclass(frozen=True, slots=True)
class Known:
    """`patient` is the shared Patient and `contents` the visible entries by shared id, as the bytes that are served.

    `base` is the address that ids stand under (`https://care.example/fhir`). `organisations` are the names of ODS
    codes, as far as they are known. `withheld`: policy hides something and allows saying so. `known_until` is when
    `freshness` changes though nobody says anything, as a source becomes stale; None: never.
    """

    patient: bytes
    merged: Merged
    contents: Mapping[str, bytes]
    base: str
    freshness: Sequence[Freshness] = ()
    organisations: Mapping[str, str] = field(default_factory=dict)
    withheld: bool = False
    known_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """An IPS document Bundle as JSON bytes.

    `digest` is the same where two summaries say the same: it covers no clock of ours, and no `base`. `parts` has the
    same for each section, by its code, for the `patient`, and for what sections only `refer` to. From `valid_until` on
    the same knowledge gives another document; None: never.
    """

    document: bytes
    digest: str
    parts: Mapping[str, str]
    valid_until: datetime | None
