"""What an operator sees of the sources, for metrics: never a person.

A publisher chooses the names of its systems, and might put anything there. So a system is named where settings name it;
all others of an organisation are one, without a name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from onestory.record.domain.freshness import Rhythms, Source, rhythm_of


@dataclass(slots=True)
class Figures:
    """`silent_s`: seconds since it was last heard of, of several systems the one heard of last. `stale`: whether one of
    them has been silent for longer than is expected of it; None: nothing is expected. `missing`: numbers of statements
    that have not arrived; None: it does not number them.
    """

    silent_s: float
    stale: bool | None = None
    missing: int | None = None


def figures(
    heard: Iterable[tuple[Source, datetime]],
    missing: Iterable[tuple[Source, int]],
    at: datetime,
    rhythms: Rhythms,
    sequenced: Collection[str],
) -> dict[Source, Figures]:
    """The figures of each organisation and named system."""
    found: dict[Source, Figures] = {}
    for source, heard_at in heard:
        silent_s = max(0.0, (at - heard_at).total_seconds())
        each = found.setdefault(_named(source, rhythms, sequenced), Figures(silent_s))
        each.silent_s = min(each.silent_s, silent_s)
        rhythm = rhythm_of(source, rhythms)
        if rhythm is not None:
            each.stale = bool(each.stale) or at - heard_at > rhythm
        if _name(source) in sequenced:
            each.missing = 0
    for source, numbers in missing:
        if _name(source) in sequenced and source in found:
            found[source].missing = numbers
    return found


def _named(source: Source, rhythms: Rhythms, sequenced: Collection[str]) -> Source:
    return source if _name(source) in rhythms or _name(source) in sequenced else (source[0], "")


def _name(source: Source) -> str:
    return "/".join(source)
