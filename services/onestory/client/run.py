"""A run: items are read, published side by side, journalled, and what was refused is reported.

Order: items about one person are published in the order in which they were read, across lines, files and members; a
batch about several people counts for the first. Items that name no person keep the order of their file. All else goes
side by side, which promise 2 (any order, the same record) allows; keeping a person's order besides is what makes the
later of two statements win when neither says when it was recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from onestory.client import submission
from onestory.client.files import FileItem, Origin, Unreadable
from onestory.client.publisher import Publisher
from onestory.client.report import Journal, RefusalReport, RunTotals
from onestory.client.submission import PublishRequest, Receipt, Refusal
from onestory.shared.errors import Malformed, OneStoryError, TooLarge, Unprocessable

# Work side by side, except within a lane.


class Lanes:
    """Runs at most `width` pieces of work at once; those of one lane one after the other, in the order submitted.

    At most twice `width` pieces wait or run, so what they hold is bounded. Leaving the context awaits them all.
    """

    def __init__(self, width: int) -> None:
        self._group = asyncio.TaskGroup()
        self._room = asyncio.Semaphore(2 * width)
        self._running = asyncio.Semaphore(width)
        self._last: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._group.__aexit__(kind, error, trace)

    async def submit(self, lane: str, work: Callable[[], Awaitable[None]]) -> None:
        """Returns once there is room for it."""
        await self._room.acquire()
        task = self._group.create_task(self._run(self._last.get(lane), work))
        self._last[lane] = task
        task.add_done_callback(lambda done: self._leave(lane, done))

    async def _run(self, before: asyncio.Task[None] | None, work: Callable[[], Awaitable[None]]) -> None:
        if before is not None:
            await asyncio.wait([before])
        async with self._running:
            await work()

    def _leave(self, lane: str, task: asyncio.Task[None]) -> None:
        self._room.release()
        if self._last.get(lane) is task:
            del self._last[lane]


# How a run is asked to end early.


class Stopped(Exception):
    """The run is ending: what was to be tried again is left for the next run."""


class Stop:
    """Set once, by Ctrl-C, by SIGTERM or by what makes going on pointless. Requests in flight are finished."""

    def __init__(self) -> None:
        self.interrupted = False
        """Whether a person or the system asked for it."""
        self._event = asyncio.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    async def sleep(self, seconds: float) -> None:
        """Sleep that long; raises `Stopped` at once when the run is ending."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
        raise Stopped

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Within: the first Ctrl-C or SIGTERM stops, a second Ctrl-C aborts."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.getsignal(number) for number in signals}
        # Windows has no such handlers; there Ctrl-C aborts, and the journal is as good.
        with contextlib.suppress(NotImplementedError):
            for number in signals:
                loop.add_signal_handler(number, self._interrupt, asyncio.current_task())
        try:
            yield
        finally:
            with contextlib.suppress(NotImplementedError):
                for number in signals:
                    loop.remove_signal_handler(number)
                    signal.signal(number, before[number])

    def _interrupt(self, run: asyncio.Task[object] | None) -> None:
        if self.interrupted and run is not None:
            run.cancel()
        self.interrupted = True
        self.set()


_OURS = (Malformed, TooLarge, Unprocessable)
_STATUS: dict[type[OneStoryError], int] = {Malformed: 400, TooLarge: 413, Unprocessable: 422}

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class ClaimedSource:
    """Who says it. What is empty here is taken from each item's `meta.tag`."""

    organisation: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class _Ready:
    """An item whose request is known."""

    origin: Origin
    content: bytes
    request: PublishRequest
    source: ClaimedSource
    key: str

    @property
    def lane(self) -> str:
        return self.request.person or f"{self.origin.file}/{self.origin.member}"


@dataclass(frozen=True, slots=True)
class _Refused:
    """An item that is refused before it is sent."""

    origin: Origin
    refusal: Refusal


class Run:
    """Publishes items until they end or `stop` is set. `failure` is what made going on pointless."""

    def __init__(
        self,
        publisher_for: Callable[[ClaimedSource], Publisher],
        journal: Journal,
        report: RefusalReport,
        tally: RunTotals,
        stop: Stop,
        source: ClaimedSource,
    ) -> None:
        self.failure: OneStoryError | None = None
        self._publisher_for = publisher_for
        self.journal = journal
        self.report = report
        self.tally = tally
        self.stop = stop
        self._source = source

    async def publish(self, items: Iterator[FileItem | Unreadable], connections: int) -> None:
        """Publish every item, over that many connections."""
        async with Lanes(connections) as lanes:
            async for ready in _in_thread(prepare(item, self._source) for item in items):
                if self.stop:
                    break
                if isinstance(ready, _Refused):
                    self._record(ready.origin, _refused(ready.refusal), 0)
                elif self.journal.has(ready.key):
                    self.tally.skipped += 1
                else:
                    await lanes.submit(ready.lane, functools.partial(self._send, ready))

    async def _send(self, ready: _Ready) -> None:
        if self.stop:
            return
        try:
            receipt = await self._publisher_for(ready.source).send(ready.request, ready.content, ready.key)
        except _OURS as error:
            receipt = _refused(_refusal(error))
        except Stopped:
            return
        except OneStoryError as error:
            self.failure = error
            self.stop.set()
            return
        # What was refused is sent again by a resumed run, so that its report is complete.
        if not receipt.refusals:
            self.journal.add(ready.key)
        self._record(ready.origin, receipt, ready.request.resources)

    def _record(self, origin: Origin, receipt: Receipt, resources: int) -> None:
        self.tally.count(receipt, resources)
        self.report.add(origin, receipt.refusals)


def prepare(item: FileItem | Unreadable, source: ClaimedSource) -> _Ready | _Refused:
    """The request for an item, or why there is none."""
    if isinstance(item, Unreadable):
        return _Refused(item.origin, Refusal(item.reason, 400))
    try:
        request = submission.read_request(item.content)
    except _OURS as error:
        return _Refused(item.origin, _refusal(error))
    named = ClaimedSource(source.organisation or request.organisation, source.system or request.system)
    key = submission.content_key(named.organisation, named.system, item.content)
    return _Ready(item.origin, item.content, request, named, key)


def _refusal(error: OneStoryError) -> Refusal:
    issue = error.issues[0]
    return Refusal(issue.diagnostics, _STATUS[type(error)], issue.expression)


def _refused(refusal: Refusal) -> Receipt:
    return Receipt(refusal.status, refusals=(refusal,))


async def _in_thread(values: Iterator[_Value]) -> AsyncIterator[_Value]:
    """The same values, each made in a thread: reading and unpacking shall not hold up the connections."""
    while made := await asyncio.to_thread(lambda: list(itertools.islice(values, 1))):
        yield made[0]
