"""What an operator sees of a rebuild while it runs: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from structlog.typing import EventDict, WrappedLogger

_LINE_EVERY_S = 5.0


class Display:
    """Shows the stage that a rebuild is in, and how far it is."""

    def __init__(self, console: Console) -> None:
        columns = (
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        self._console = console
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=None)
        self._what = ""
        self._messages = 0
        self._entries = 0
        self._began = self._said = time.monotonic()

    def stage(self, what: str, messages: int) -> None:
        """Something begins that has to read so many messages."""
        self._what, self._messages = what, messages
        self._bar.reset(self._task, total=messages or None, description=what)
        if not self._console.is_terminal:
            self._line(what)

    def progress(self, left: int, entries: int) -> None:
        """So many messages are left; so many entries were written in all."""
        self._entries = entries
        rate = entries / max(time.monotonic() - self._began, 0.001)
        words = f"{self._what}  {left:,} messages left  {entries:,} entries  {rate:,.0f}/s"
        self._bar.update(self._task, completed=self._messages - left, description=words)
        if not self._console.is_terminal and time.monotonic() - self._said > _LINE_EVERY_S:
            self._line(words)

    def heard(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        """For structlog: why the projector waits is shown; the rest it has told before, when it was the live one."""
        if event["event"] == "batch_not_written":
            words = f"{self._what}  waiting: {event['because']}"
            self._bar.update(self._task, description=words)
            if not self._console.is_terminal:
                self._line(words)
        raise structlog.DropEvent

    def _line(self, words: str) -> None:
        self._said = time.monotonic()
        self._console.print(words, markup=False, highlight=False)

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()


@contextmanager
def displayed() -> Iterator[Display]:
    """On standard error, in place of the log."""
    with Display(Console(stderr=True)) as display:
        structlog.configure(processors=[display.heard])
        yield display
