"""What a publisher sees while it runs: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from onestory.client.report import Tally

LINE_EVERY_S = 5.0
REFRESH_EVERY_S = 0.2


class Display(Protocol):
    """Shows how far a run is. `waiting_for` is why it stands still, or empty."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, tally: Tally, waiting_for: str) -> None: ...


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

    def show(self, tally: Tally, waiting_for: str) -> None:
        self._progress.update(self._task, completed=tally.bytes_read, description=_words(tally, waiting_for))


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

    def show(self, tally: Tally, waiting_for: str) -> None:
        if self._clock() >= self._next:
            self._next = self._clock() + LINE_EVERY_S
            print(_words(tally, waiting_for), file=self._stream, flush=True)


def display(stream: TextIO, bytes_in_all: int) -> Display:
    """A bar when `stream` is a terminal, else lines."""
    console = Console(file=stream)
    return Bar(console, bytes_in_all) if console.is_terminal else Lines(stream)


@contextlib.asynccontextmanager
async def following(shown: Display, tally: Tally, waiting_for: Callable[[], str]) -> AsyncIterator[None]:
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


def _words(tally: Tally, waiting_for: str) -> str:
    words = f"{tally.items:,} items  {tally.resources:,} resources  {tally.rate:,.0f}/s  {tally.refused:,} refused"
    return f"{words}  waiting: {waiting_for}" if waiting_for else words
