"""The refusal report, and the running totals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from onestory.client.files import Origin
from onestory.client.submission import Receipt, Refusal

SHOWN = 10


@dataclass(slots=True)
class RunTotals:
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


# The journal of an unfinished run: the keys of the items that are published already.
#
# It holds digests only. SQLite keeps it sound when the process is killed, and out of memory however long the run.

_TABLE = "create table if not exists done (key blob primary key, run integer not null) without rowid"


class Journal:
    """Which items an earlier, interrupted run has published. `fresh` forgets what that run did."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        if fresh:
            self._remove()
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("pragma journal_mode = wal")
        # The worst that a power cut can do is that some items are sent again, with the same key.
        self._database.execute("pragma synchronous = normal")
        self._database.execute(_TABLE)
        self.published, last = self._database.execute("select count(*), coalesce(max(run), 0) from done").fetchone()
        self._run = last + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def has(self, key: str) -> bool:
        """Whether an earlier run published it. Repeats within one run are meant: the door shall see them."""
        query = "select 1 from done where key = ? and run < ?"
        return self._database.execute(query, (bytes.fromhex(key), self._run)).fetchone() is not None

    def add(self, key: str) -> None:
        """The item is published."""
        self._database.execute("insert or ignore into done values (?, ?)", (bytes.fromhex(key), self._run))

    def finish(self) -> None:
        """The run reached its end: a next one publishes everything again, which the keys make harmless."""
        self._database.close()
        self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


# What a publisher sees while it runs: a bar on a terminal, else a line now and then.

LINE_EVERY_S = 5.0
REFRESH_EVERY_S = 0.2


class ProgressDisplay(Protocol):
    """Shows how far a run is. `waiting_for` is why it stands still, or empty."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, tally: RunTotals, waiting_for: str) -> None: ...


class Bar:
    """A progress bar over the bytes of the input files."""

    def __init__(self, console: Console, bytes_in_all: int) -> None:
        columns = (
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task("", total=bytes_in_all)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, tally: RunTotals, waiting_for: str) -> None:
        self._progress.update(self._task, completed=tally.bytes_read, description=_progress_words(tally, waiting_for))


class Lines:
    """A plain line every few seconds, for logs and pipes."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._next = clock() + LINE_EVERY_S

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.flush()

    def show(self, tally: RunTotals, waiting_for: str) -> None:
        if self._clock() >= self._next:
            self._next = self._clock() + LINE_EVERY_S
            print(_progress_words(tally, waiting_for), file=self._stream, flush=True)


def display(stream: TextIO, bytes_in_all: int) -> ProgressDisplay:
    """A bar when `stream` is a terminal, else lines."""
    console = Console(file=stream)
    return Bar(console, bytes_in_all) if console.is_terminal else Lines(stream)


@contextlib.asynccontextmanager
async def following(shown: ProgressDisplay, tally: RunTotals, waiting_for: Callable[[], str]) -> AsyncIterator[None]:
    """Within: the display follows the tally."""

    async def follow() -> None:
        while True:
            shown.show(tally, waiting_for())
            await asyncio.sleep(REFRESH_EVERY_S)

    with shown:
        task = asyncio.create_task(follow())
        try:
            yield
        finally:
            task.cancel()
            shown.show(tally, "")


def _progress_words(tally: RunTotals, waiting_for: str) -> str:
    words = f"{tally.items:,} items  {tally.resources:,} resources  {tally.rate:,.0f}/s  {tally.refused:,} refused"
    return f"{words}  waiting: {waiting_for}" if waiting_for else words


# What somebody wrote, as a terminal may show it: as text, and on one line.

# A terminal obeys the first, and the second turns a line around: "5 mg" of "gm 5".
_NOT_SHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """The text without what a terminal would obey; a sign stands where something was left out."""
    return _NOT_SHOWN.sub("\ufffd", " ".join(text.splitlines()).replace("\t", " "))
