"""Who speaks of the person, and how fresh that is: honest about silence, gaps and what could not be used."""

from __future__ import annotations

from collections.abc import Iterator

from onestory.record.domain.freshness import Freshness
from onestory.record.domain.summary import moments
from onestory.record.domain.summary.narrative import Row, paragraph, strong, table, text
from onestory.record.domain.summary.record import Record, ended
from onestory.record.domain.summary.section import OWN, Section

_HEADS = ("Source", "Last said something of this person", "Last heard of at all", "To note")


def sources_heard(record: Record) -> Section | None:
    """One line for each source. When it was heard is a clock of ours, and no content."""
    lines = sorted(record.known.freshness, key=lambda each: (each.organisation, each.system))
    if not lines:
        return None
    rows = [_row(record, line, clocks=True) for line in lines]
    timeless = [_row(record, line, clocks=False) for line in lines]
    return Section(
        "sources",
        "Sources, and how fresh they are",
        table("Sources", _HEADS, rows) + paragraph("What a source did not send is not in this summary."),
        system=OWN,
        timeless=table("Sources", _HEADS, timeless),
    )


def troubled(line: Freshness) -> bool:
    """Whether what this source says may be old or incomplete."""
    return bool(line.stale or line.missing or line.parked)


def _row(record: Record, line: Freshness, *, clocks: bool) -> Row:
    heard = [[moments.clock(each)] if clocks else [] for each in (line.said_at, line.heard_at)]
    name = [text(record.named(line.organisation)), text(line.system)]
    return Row((name, *heard, list(_remarks(record, line))))


def _remarks(record: Record, line: Freshness) -> Iterator[str]:
    if line.stale:
        yield strong("Silent for longer than is expected of it: what it says may be old.")
    if line.missing:
        yield strong(f"{line.missing} of its statements are missing.")
    if line.parked:
        yield strong(f"{line.parked} of its statements could not be used yet.")
    if line.former_until and ended(line.former_until) <= record.at:
        yield strong(f"Former practice, until {moments.day(line.former_until)}.")
