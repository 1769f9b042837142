"""The refusal report, and the running totals."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from onestory.client.answer import Receipt, Refusal
from onestory.client.reading import Origin

SHOWN = 10


@dataclass(slots=True)
class Tally:
    """What a run has done so far."""

    items: int = 0
    """Items of which something was taken."""
    resources: int = 0
    """Resources that were taken."""
    refused_items: int = 0
    refused_entries: int = 0
    """Entries refused within batches that were taken otherwise."""
    skipped: int = 0
    """Items that an interrupted run had published before."""
    bytes_read: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Resources per second since the start."""
        return self.resources / max(self.seconds, 1e-6)

    @property
    def refused(self) -> int:
        return self.refused_items + self.refused_entries

    def read(self, count: int) -> None:
        """So many more bytes of the input have been read."""
        self.bytes_read += count

    def count(self, receipt: Receipt, resources: int) -> None:
        """One item with that many resources has its receipt."""
        if not receipt.taken:
            self.refused_items += 1
            return
        refused = len({refusal.entry for refusal in receipt.refusals})
        self.items += 1
        self.resources += max(0, resources - refused)
        self.refused_entries += refused

    def summary(self) -> str:
        """One line for people."""
        before = f", {self.skipped:,} items published before" if self.skipped else ""
        return (
            f"{self.items:,} items, {self.resources:,} resources published{before}; {self._refused_words()}; "
            f"{self.seconds:.1f} s, {self.rate:,.0f} resources/s"
        )

    def _refused_words(self) -> str:
        if not self.refused:
            return "nothing refused"
        return f"refused: {self.refused_items:,} items and {self.refused_entries:,} entries of batches"


class RefusalReport:
    """NDJSON, one line for each refusal: file, item, entry, field, reason, status. Written only if there is one.

    It holds nothing of a resource but paths and positions; `file` is as the publisher named it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first: list[str] = []
        """The first `SHOWN` refusals, in words."""
        self.refusals = 0
        self._stream: TextIO | None = None
        path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    def add(self, origin: Origin, refusals: Sequence[Refusal]) -> None:
        """Write down why something of the item at `origin` was refused."""
        if self._stream is None and refusals:
            self._stream = self.path.open("w", encoding="utf-8", buffering=1)
        for refusal in refusals:
            assert self._stream is not None
            self._stream.write(json.dumps(_line(origin, refusal), ensure_ascii=False) + "\n")
            self.refusals += 1
            if len(self.first) < SHOWN:
                self.first.append(_words(origin, refusal))


def _line(origin: Origin, refusal: Refusal) -> dict[str, str | int | None]:
    return {
        "file": origin.file,
        "item": origin.item,
        "entry": refusal.entry,
        "field": refusal.field,
        "reason": refusal.reason,
        "status": refusal.status,
    }


def _words(origin: Origin, refusal: Refusal) -> str:
    entry = "" if refusal.entry is None else f"entry {refusal.entry}"
    place = ", ".join(part for part in (origin.file, origin.item, entry) if part)
    field_ = f"{refusal.field}: " if refusal.field else ""
    return f"{place}\n    {refusal.status}  {field_}{refusal.reason}"
