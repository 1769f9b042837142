"""A run: items are read, published side by side, journalled, and what was refused is reported.

Order: items about one person are published in the order in which they were read, across lines, files and members; a
batch about several people counts for the first. Items that name no person keep the order of their file. All else goes
side by side, which promise 2 (any order, the same record) allows; keeping a person's order besides is what makes the
later of two statements win when neither says when it was recorded.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from onestory.client import submission
from onestory.client.answer import Receipt, Refusal
from onestory.client.journal import Journal
from onestory.client.lanes import Lanes
from onestory.client.publisher import Publisher
from onestory.client.reading import Item, Origin, Unreadable
from onestory.client.report import RefusalReport, Tally
from onestory.client.stopping import Stop, Stopped
from onestory.client.submission import Submission
from onestory.shared.errors import Malformed, OneStoryError, TooLarge, Unprocessable

_OURS = (Malformed, TooLarge, Unprocessable)
_STATUS: dict[type[OneStoryError], int] = {Malformed: 400, TooLarge: 413, Unprocessable: 422}

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Source:
    """Who says it. What is empty here is taken from each item's `meta.tag`."""

    organisation: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class _Ready:
    """An item whose request is known."""

    origin: Origin
    content: bytes
    request: Submission
    source: Source
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
        publisher_for: Callable[[Source], Publisher],
        journal: Journal,
        report: RefusalReport,
        tally: Tally,
        stop: Stop,
        source: Source,
    ) -> None:
        self.failure: OneStoryError | None = None
        self._publisher_for = publisher_for
        self.journal = journal
        self.report = report
        self.tally = tally
        self.stop = stop
        self._source = source

    async def publish(self, items: Iterator[Item | Unreadable], connections: int) -> None:
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


def prepare(item: Item | Unreadable, source: Source) -> _Ready | _Refused:
    """The request for an item, or why there is none."""
    if isinstance(item, Unreadable):
        return _Refused(item.origin, Refusal(item.reason, 400))
    try:
        request = submission.read(item.content)
    except _OURS as error:
        return _Refused(item.origin, _refusal(error))
    named = Source(source.organisation or request.organisation, source.system or request.system)
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
