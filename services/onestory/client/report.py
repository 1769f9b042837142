"""The outputs of a run of `onestory publish`: totals, the refusal report, the journal, and the progress display."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from onestory.client.files import Origin
from onestory.client.submission import Receipt, Refusal
from onestory.shared.display import printable_text

MAX_PRINTED = 10
_ENTRY = re.compile(r"Bundle\.entry\[(\d+)\](?:\.resource)?")


@dataclass(slots=True)
class RunTotals:
    """The running totals of a run."""

    items: int = 0
    """Items of which at least a part was accepted."""
    resources: int = 0
    """Resources that were accepted."""
    refused_items: int = 0
    refused_entries: int = 0
    """Refused entries of batches of which a part was accepted."""
    skipped: int = 0
    """Items that an earlier, interrupted run had published."""
    groups: int = 0
    """Groups of files that were published together, because they refer to one another."""
    grouped_files: int = 0
    first_groups: list[Sequence[Origin]] = field(default_factory=list)
    """The first `MAX_PRINTED` of these groups."""
    bytes_read: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Return the accepted resources per second since the start."""
        return self.resources / max(self.seconds, 1e-6)

    @property
    def refused(self) -> int:
        """Return the refused items and the refused entries of batches."""
        return self.refused_items + self.refused_entries

    def add_bytes(self, count: int) -> None:
        """Add the bytes that were read from the input."""
        self.bytes_read += count

    def add(self, receipt: Receipt, resources: int) -> None:
        """Add one item: its receipt, and the number of resources in it."""
        if not receipt.accepted:
            self.refused_items += 1
            return
        refused = len({refusal.entry for refusal in receipt.refusals})
        self.items += 1
        self.resources += max(0, resources - refused)
        self.refused_entries += refused

    def add_group(self, receipt: Receipt, origins: Sequence[Origin]) -> None:
        """Add a group of items that were sent as one transaction: all of them are accepted, or none is."""
        if not receipt.accepted:
            self.refused_items += len(origins)
            return
        self.items += len(origins)
        self.resources += len(origins)
        self.groups += 1
        self.grouped_files += len(origins)
        if len(self.first_groups) < MAX_PRINTED:
            self.first_groups.append(origins)

    def groups_text(self) -> str:
        """Return which files were published together, or an empty string."""
        if not self.groups:
            return ""
        lines = [f"  {_names(origins)}" for origins in self.first_groups]
        more = self.groups - len(lines)
        title = f"{self.grouped_files:,} files were published together, as {self.groups:,} transactions:"
        return "\n".join([title, *lines, *([f"  ... and {more:,} more"] if more else [])])

    def summary(self) -> str:
        """Return the totals as one line of text."""
        before = f", {self.skipped:,} items published before" if self.skipped else ""
        return (
            f"{self.items:,} items, {self.resources:,} resources published{before}; {self._refused_text()}; "
            f"{self.seconds:.1f} s, {self.rate:,.0f} resources/s"
        )

    def _refused_text(self) -> str:
        if not self.refused:
            return "nothing refused"
        return f"refused: {self.refused_items:,} items and {self.refused_entries:,} entries of batches"


def _names(origins: Sequence[Origin]) -> str:
    names = [Path(origin.file).name for origin in origins]
    more = len(names) - MAX_PRINTED
    return ", ".join(names[:MAX_PRINTED]) + (f" and {more:,} more" if more > 0 else "")


class RefusalReport:
    """The refusals of a run as NDJSON: file, item, entry, field, reason and status. Without one there is no file.

    It holds no content of a resource, only FHIRPaths and indexes. `file` is the path that the user gave.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first: list[str] = []
        """The first `MAX_PRINTED` refusals, as text."""
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
        """Add the refusals of the item at `origin`."""
        if self._stream is None and refusals:
            self._stream = self.path.open("w", encoding="utf-8", buffering=1)
        for refusal in refusals:
            assert self._stream is not None
            self._stream.write(json.dumps(_line(origin, refusal), ensure_ascii=False) + "\n")
            self.refusals += 1
            if len(self.first) < MAX_PRINTED:
                self.first.append(_refusal_text(origin, refusal))

    def add_group(self, origins: Sequence[Origin], refusals: Sequence[Refusal]) -> None:
        """Add the refusals of items that were sent as one transaction: a line for each item.

        An item without a fault of its own is refused because of another one.
        """
        faulty: dict[int, Refusal] = {}
        for refusal in refusals:
            match = _ENTRY.match(refusal.field)
            index = int(match[1]) if match else 0
            own = replace(refusal, field=_ENTRY.sub("", refusal.field).removeprefix("."), entry=None)
            faulty.setdefault(index, own)
            self.add(origins[index], [own])
        for index, origin in enumerate(origins) if faulty else ():
            if index not in faulty:
                first = min(faulty)
                reason = f"It was sent together with {origins[first].file}, which is refused."
                self.add(origin, [Refusal(reason, faulty[first].status)])


def _line(origin: Origin, refusal: Refusal) -> dict[str, str | int | None]:
    return {
        "file": origin.file,
        "item": origin.item,
        "entry": refusal.entry,
        "field": refusal.field,
        "reason": refusal.reason,
        "status": refusal.status,
    }


def _refusal_text(origin: Origin, refusal: Refusal) -> str:
    entry = "" if refusal.entry is None else f"entry {refusal.entry}"
    location = ", ".join(part for part in (origin.file, origin.item, entry) if part)
    field = f"{refusal.field}: " if refusal.field else ""
    return f"{printable_text(location)}\n    {printable_text(f'{refusal.status}  {field}{refusal.reason}')}"


_TABLE = "create table if not exists done (key blob primary key, run integer not null) without rowid"


class Journal:
    """The idempotency keys of the published items, kept until a run ends, so that the next run can resume.

    It is a SQLite file: a killed process does not damage it, and a long run does not fill the memory. A key is a
    digest, so the file holds no content. `fresh` deletes the journal of an interrupted run. `published` is the number
    of keys from earlier runs.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        if fresh:
            self._remove()
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("pragma journal_mode = wal")
        # After a power cut the last keys can be missing. Then those items are sent again with the same key.
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
        """Return whether an earlier run published the item. Repetitions in one run are sent: they may be intended."""
        query = "select 1 from done where key = ? and run < ?"
        return self._database.execute(query, (bytes.fromhex(key), self._run)).fetchone() is not None

    def add(self, key: str) -> None:
        """Add a published item."""
        self._database.execute("insert or ignore into done values (?, ?)", (bytes.fromhex(key), self._run))

    def finish(self) -> None:
        """Delete the journal at the end of a run. A next run sends all items again; their keys make that harmless."""
        self._database.close()
        self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


LINE_EVERY_S = 5.0
REFRESH_EVERY_S = 0.2


class ProgressDisplay(Protocol):
    """Shows the progress of a run. `waiting_for` is the reason of a pause, or empty."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, totals: RunTotals, waiting_for: str) -> None: ...


class ProgressBar:
    """A progress bar over the bytes of the input files."""

    def __init__(self, console: Console, total_bytes: int) -> None:
        columns = (
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task("", total=total_bytes)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, totals: RunTotals, waiting_for: str) -> None:
        self._progress.update(self._task, completed=totals.bytes_read, description=_progress_text(totals, waiting_for))


class ProgressLines:
    """A line of text every `LINE_EVERY_S` seconds, for logs and pipes."""

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

    def show(self, totals: RunTotals, waiting_for: str) -> None:
        if self._clock() >= self._next:
            self._next = self._clock() + LINE_EVERY_S
            print(_progress_text(totals, waiting_for), file=self._stream, flush=True)


def progress_display(stream: TextIO, total_bytes: int) -> ProgressDisplay:
    """Return a bar when `stream` is a terminal, else lines."""
    console = Console(file=stream)
    return ProgressBar(console, total_bytes) if console.is_terminal else ProgressLines(stream)


@contextlib.asynccontextmanager
async def show_progress(
    display: ProgressDisplay, totals: RunTotals, waiting_for: Callable[[], str]
) -> AsyncIterator[None]:
    """Show the totals every `REFRESH_EVERY_S` seconds while the block runs. `waiting_for` is the reason of a pause."""

    async def follow() -> None:
        while True:
            display.show(totals, waiting_for())
            await asyncio.sleep(REFRESH_EVERY_S)

    with display:
        task = asyncio.create_task(follow())
        try:
            yield
        finally:
            task.cancel()
            display.show(totals, "")


def _progress_text(totals: RunTotals, waiting_for: str) -> str:
    text = f"{totals.items:,} items  {totals.resources:,} resources  {totals.rate:,.0f}/s  {totals.refused:,} refused"
    return f"{text}  waiting: {waiting_for}" if waiting_for else text
