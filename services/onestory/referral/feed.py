"""Changes as they come: each process follows `care.referral` and tells those who listen here.

The last changes are kept, so that somebody whose connection broke goes on without a gap, here or at another process.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog
from prometheus_client import Gauge

from onestory.referral.domain.touch import Offsets, Touch, from_token, to_token, touch
from onestory.referral.domain.worklist import Whose
from onestory.shared.caller import Caller
from onestory.shared.consumer.following import Following, Heard
from onestory.shared.contracts.codec import Codec
from onestory.shared.contracts.topics import REFERRAL
from onestory.shared.errors import Unavailable
from onestory.shared.events import ReferralChanged

# A process that has just started knows what happened in this time before.
_SINCE = timedelta(minutes=5)
_KEPT = 20_000
_MOST_WAITING = 500
# Nobody alone keeps others from listening.
_PART_OF_ONE, _FEWEST_OF_ONE = 5, 10

log = structlog.get_logger()

_listening = Gauge("onestory_worklist_listeners", "Worklists that are followed in this process.")


class Listener:
    """Somebody who follows a list. What waits to be told is bounded: beyond, the list has to be read anew (`lost`)."""

    def __init__(self, whose: Whose, caller: Caller, position: str) -> None:
        self.whose = whose
        self.caller = caller
        self.lost = False
        self.position = position
        """Up to where everything has been told."""
        self._waiting: dict[str, Touch] = {}
        self._woken = asyncio.Event()

    def tell(self, change: Touch) -> None:
        """Of a change that may concern the list. What one has claimed can be of any team of one's organisation."""
        may_be_claimed = self.whose.across and change.recipient == self.caller.organisation
        if not may_be_claimed and not change.concerns(self.whose):
            return
        self._waiting[change.referral_id] = change
        if len(self._waiting) > _MOST_WAITING:
            self.lose()
        self._woken.set()

    def lose(self) -> None:
        """Something may have been missed."""
        self._waiting, self.lost = {}, True
        self._woken.set()

    def wake(self) -> None:
        """Look around."""
        self._woken.set()

    async def wait(self, seconds: float) -> None:
        """Until there is something to tell, but not longer."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._woken.wait()
        except TimeoutError:
            return

    def take(self) -> tuple[list[Touch], bool]:
        """What is to be told, each referral once; and whether something was missed."""
        changes, lost = list(self._waiting.values()), self.lost
        self._waiting, self.lost = {}, False
        self._woken.clear()
        return changes, lost


class Feed:
    """All changes, and all who listen."""

    def __init__(self, bootstrap: str, codec: Codec, most: int, stopping: asyncio.Event, prefix: str = "") -> None:
        self._following = Following(bootstrap, REFERRAL, codec, self, _SINCE, prefix)
        self._most = most
        self._stopping = stopping
        self._loop: asyncio.AbstractEventLoop | None = None
        self._first: dict[int, int] = {}
        self._next: dict[int, int] = {}
        self._kept: deque[Touch] = deque()
        self._listeners: set[Listener] = set()

    @property
    def stopping(self) -> bool:
        """Whether the process ends."""
        return self._stopping.is_set()

    @property
    def position(self) -> str:
        """The token of where all listeners are that have nothing waiting."""
        return to_token(self._next)

    @property
    def silent_s(self) -> float:
        """For how many seconds Kafka has not answered; a few while nothing happens."""
        return time.monotonic() - self._following.in_contact_at

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Within: changes come."""
        self._loop, stop = asyncio.get_running_loop(), threading.Event()
        thread = threading.Thread(target=self._following.run, args=[stop], name="following", daemon=True)
        thread.start()
        ending = asyncio.create_task(self._end())
        try:
            yield
        finally:
            ending.cancel()
            stop.set()
            await asyncio.to_thread(thread.join)

    def listen(self, whose: Whose, caller: Caller, last_event_id: str) -> Listener:
        """Somebody listens from now on, or from where they were. Raises `Unavailable` for one too many, and while it is
        not known where changes are.
        """
        of_one = sum(each.caller == caller for each in self._listeners)
        if len(self._listeners) >= self._most or of_one >= max(_FEWEST_OF_ONE, self._most // _PART_OF_ONE):
            raise Unavailable("Too many worklists are followed here. Try again, or read the list from time to time.")
        if not self._next:
            raise Unavailable("Changes cannot be followed yet. Try again.")
        listener = Listener(whose, caller, self.position)
        if last_event_id:
            self._resume(listener, last_event_id)
        self._listeners.add(listener)
        _listening.set(len(self._listeners))
        return listener

    def leave(self, listener: Listener) -> None:
        """Nobody listens there any more."""
        self._listeners.discard(listener)
        _listening.set(len(self._listeners))

    def begins(self, offsets: Mapping[int, int]) -> None:
        """See `Follower`: called in a thread."""
        self._call(self._begin, dict(offsets))

    def hears(self, messages: Sequence[Heard]) -> None:
        """See `Follower`: called in a thread."""
        self._call(self._hear, {each.partition: each.offset + 1 for each in messages}, _touches(messages))

    def _begin(self, offsets: dict[int, int]) -> None:
        self._first, self._next = dict(offsets), offsets
        self._kept.clear()
        for listener in self._listeners:
            listener.lose()

    def _hear(self, offsets: dict[int, int], changes: Sequence[Touch]) -> None:
        self._next |= offsets
        for change in changes:
            self._kept.append(change)
            for listener in self._listeners:
                listener.tell(change)
        while len(self._kept) > _KEPT:
            dropped = self._kept.popleft()
            self._first[dropped.partition] = dropped.offset + 1

    def _resume(self, listener: Listener, last_event_id: str) -> None:
        """Tell what came after this event; where that is not known, something was missed."""
        offsets = from_token(last_event_id)
        if offsets is None or not self._knows(offsets):
            listener.lose()
            return
        listener.position = last_event_id
        for change in self._kept:
            if change.offset >= offsets[change.partition]:
                listener.tell(change)

    def _knows(self, offsets: Offsets) -> bool:
        """Whether everything after these offsets is kept or to come. A process that has heard less than the one before
        will hear it; but not as much as that.
        """
        if offsets.keys() != self._next.keys():
            return False
        return all(self._first[each] <= offset <= self._next[each] + _KEPT for each, offset in offsets.items())

    def _call(self, what: object, *arguments: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(what, *arguments)  # type: ignore[arg-type]
        except RuntimeError:
            # The loop has ended meanwhile: nobody listens.
            log.debug("following_ends")

    async def _end(self) -> None:
        await self._stopping.wait()
        for listener in self._listeners:
            listener.wake()


def _touches(messages: Sequence[Heard]) -> list[Touch]:
    return [
        touch(each.partition, each.offset, each.event) for each in messages if isinstance(each.event, ReferralChanged)
    ]
