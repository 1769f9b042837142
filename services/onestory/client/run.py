"""One run of `onestory publish`: reads items, publishes them concurrently, and records the results.

Items about one person are published in the order in which they were read, across lines, files and members. A batch
about several people counts for the first of them. Items without a person keep the order of their file. All others may
overtake each other: promise 2 says that any order gives the same record. The order for one person still matters: of two
statements without a time of recording, the later one wins.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from onestory.client import submission
from onestory.client.files import FileItem, Origin, UnreadableFile
from onestory.client.groups import FileGroup
from onestory.client.publisher import Publisher
from onestory.client.report import Journal, RefusalReport, RunTotals
from onestory.client.submission import PublishRequest, Receipt, Refusal
from onestory.shared.errors import Malformed, OneStoryError, TooLarge, Unprocessable

_LOCAL_REFUSALS = (Malformed, TooLarge, Unprocessable)
_STATUS_BY_ERROR: dict[type[OneStoryError], int] = {Malformed: 400, TooLarge: 413, Unprocessable: 422}
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class ClaimedSource:
    """The source that the user claims. An empty part comes from each item's `meta.tag`."""

    organisation: str = ""
    system: str = ""


class PublishRun:
    """Publishes items until the last one, or until `stop` is set. `failure` is the error that ended the run early."""

    def __init__(
        self,
        publisher_for: Callable[[ClaimedSource], Publisher],
        journal: Journal,
        report: RefusalReport,
        totals: RunTotals,
        stop: Stop,
        source: ClaimedSource,
    ) -> None:
        self.failure: OneStoryError | None = None
        self._publisher_for = publisher_for
        self.journal = journal
        self.report = report
        self.totals = totals
        self.stop = stop
        self._source = source

    async def publish(self, items: Iterator[FileGroup | FileItem | UnreadableFile], connections: int) -> None:
        """Publish every item, over `connections` connections."""
        async with OrderedLanes(connections) as lanes:
            async for prepared in _made_in_thread(prepare_item(item, self._source) for item in items):
                if self.stop:
                    break
                if isinstance(prepared, _RefusedItem):
                    self._record((prepared.origin,), _refused_receipt(prepared.refusal), 0)
                elif self.journal.has(prepared.key):
                    self.totals.skipped += 1
                else:
                    await lanes.submit(prepared.lane, functools.partial(self._send, prepared))

    async def _send(self, prepared: _PreparedItem) -> None:
        if self.stop:
            return
        try:
            receipt = await self._publisher_for(prepared.source).send(prepared.request, prepared.content, prepared.key)
        except _LOCAL_REFUSALS as error:
            receipt = _refused_receipt(_refusal(error))
        except Stopped:
            return
        except OneStoryError as error:
            self.failure = error
            self.stop.set()
            return
        # A resumed run sends refused items again, so that its report is complete.
        if not receipt.refusals:
            self.journal.add(prepared.key)
        self._record(prepared.origins, receipt, prepared.request.resources)

    def _record(self, origins: Sequence[Origin], receipt: Receipt, resources: int) -> None:
        if len(origins) > 1:
            self.totals.add_group(receipt, origins)
            self.report.add_group(origins, receipt.refusals)
        else:
            self.totals.add(receipt, resources)
            self.report.add(origins[0], receipt.refusals)


@dataclass(frozen=True, slots=True)
class _PreparedItem:
    """An item, or several items of one person, with the request, the source and the idempotency key."""

    origins: tuple[Origin, ...]
    content: bytes
    request: PublishRequest
    source: ClaimedSource
    key: str

    @property
    def lane(self) -> str:
        """Return the person, or the file for an item without a person. Items of one lane keep their order."""
        return self.request.person or f"{self.origins[0].file}/{self.origins[0].member}"


@dataclass(frozen=True, slots=True)
class _RefusedItem:
    """An item that this client refuses without sending it."""

    origin: Origin
    refusal: Refusal


def prepare_item(item: FileGroup | FileItem | UnreadableFile, source: ClaimedSource) -> _PreparedItem | _RefusedItem:
    """Return the item with its request, or the refusal."""
    if isinstance(item, UnreadableFile):
        return _RefusedItem(item.origin, Refusal(item.reason, 400))
    if isinstance(item, FileGroup):
        origins = tuple(member.origin for member in item.members)
        # All files of a group have the same tags.
        return _prepared(origins, item.transaction(), submission.build_request(item.members[0].content), source)
    try:
        request = submission.build_request(item.content)
    except _LOCAL_REFUSALS as error:
        return _RefusedItem(item.origin, _refusal(error))
    return _prepared((item.origin,), item.content, request, source)


def _prepared(
    origins: tuple[Origin, ...], content: bytes, tagged: PublishRequest, source: ClaimedSource
) -> _PreparedItem:
    """Return the prepared item. `tagged` is the request of the item whose tags count."""
    request = tagged if len(origins) == 1 else submission.build_request(content)
    claimed = ClaimedSource(source.organisation or tagged.organisation, source.system or tagged.system)
    key = submission.content_key(claimed.organisation, claimed.system, content)
    return _PreparedItem(origins, content, request, claimed, key)


def _refusal(error: OneStoryError) -> Refusal:
    issue = error.issues[0]
    return Refusal(issue.diagnostics, _STATUS_BY_ERROR[type(error)], issue.expression)


def _refused_receipt(refusal: Refusal) -> Receipt:
    return Receipt(refusal.status, refusals=(refusal,))


async def _made_in_thread(values: Iterator[_Value]) -> AsyncIterator[_Value]:
    """Yield the same values, each produced in a thread: reading and unpacking must not delay the connections."""
    while batch := await asyncio.to_thread(lambda: list(itertools.islice(values, 1))):
        yield batch[0]


class OrderedLanes:
    """Runs at most `width` tasks at the same time, and the tasks of one lane one after the other, in their order.

    At most twice `width` tasks wait or run, which bounds the memory. The end of the `async with` block awaits all.
    """

    def __init__(self, width: int) -> None:
        self._group = asyncio.TaskGroup()
        self._capacity = asyncio.Semaphore(2 * width)
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
        """Submit a task to a lane. Returns as soon as fewer than twice `width` tasks wait or run."""
        await self._capacity.acquire()
        task = self._group.create_task(self._run(self._last.get(lane), work))
        self._last[lane] = task
        task.add_done_callback(lambda done: self._leave(lane, done))

    async def _run(self, before: asyncio.Task[None] | None, work: Callable[[], Awaitable[None]]) -> None:
        if before is not None:
            await asyncio.wait([before])
        async with self._running:
            await work()

    def _leave(self, lane: str, task: asyncio.Task[None]) -> None:
        self._capacity.release()
        if self._last.get(lane) is task:
            del self._last[lane]


class Stopped(Exception):
    """Raised instead of a pause when the run ends. The next run sends the item again."""


class Stop:
    """Set by Ctrl-C, by SIGTERM, or by an error after which the run cannot continue. Open requests are finished."""

    def __init__(self) -> None:
        self.interrupted = False
        """Whether a signal stopped the run."""
        self._event = asyncio.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Stop the run."""
        self._event.set()

    async def sleep(self, seconds: float) -> None:
        """Sleep. Raises `Stopped` as soon as the run is stopped."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
        raise Stopped

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """While the block runs, the first Ctrl-C or SIGTERM stops the run, and the second one cancels it."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.getsignal(number) for number in signals}
        # Windows has no such handlers. There Ctrl-C ends the process, and the journal still allows a resume.
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
