"""Follows `care.referral` in each process, and hands changes to the readers who follow a list there."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from prometheus_client import Gauge

from onestory.referral.lifecycle.model import Status
from onestory.referral.worklist.domain import WorklistScope
from onestory.shared.errors import Unavailable
from onestory.shared.events import ReferralChanged
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.follower import FollowedMessage, TopicFollower
from onestory.shared.kafka.schemas import REFERRAL_TOPIC
from onestory.shared.policy import Caller

# The changes of this time before its start are buffered in a new process too.
_LOOKBACK = timedelta(minutes=5)
_MAX_BUFFERED = 20_000
_MAX_PENDING = 500
# One caller gets at most this part of all listeners, or the minimum, so that others can listen too.
_CALLER_SHARE = 5
_CALLER_MINIMUM = 10
_TOKEN = re.compile(r"[0-9a-z]{1,13}(?:\.[0-9a-z]{1,13}){0,255}")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

log = structlog.get_logger()

_listener_gauge = Gauge("onestory_worklist_listeners", "Worklists that are followed in this process.")

FeedOffsets = Mapping[int, int]
"""By partition number, the next offset: every message before it has been read."""


@dataclass(frozen=True, slots=True)
class ListChange:
    """A change of a referral: its offset in `care.referral`, and the teams and organisations whose lists it affects."""

    partition: int
    offset: int
    referral_id: str
    teams: tuple[str, ...]
    requesters: tuple[str, ...]
    recipient: str

    def affects(self, scope: WorklistScope) -> bool:
        """Return whether the list may have changed."""
        if scope.requester:
            return scope.requester in self.requesters
        return bool(scope.recipient_teams.intersection(self.teams))


def to_list_change(partition: int, offset: int, event: ReferralChanged) -> ListChange:
    """Return which lists an event affects. A former recipient gets a notice of the change, or has made it."""
    parties = [event.requester, event.holder, event.next_actor, event.actor.party, *(n.party for n in event.notices)]
    if event.status != Status.DRAFT:
        parties.append(event.recipient)
    teams = dict.fromkeys(sys.intern(party.team) for party in parties if party and party.team)
    # The person's new practice acts for the requester. It gets a notice of the change, or has made it.
    organisations = [party.organisation for party in parties if party and not party.team]
    requesters = tuple(dict.fromkeys(map(sys.intern, [event.requester.organisation, *organisations])))
    recipient = sys.intern(event.recipient.organisation)
    return ListChange(partition, offset, event.referral_id, tuple(teams), requesters, recipient)


def _list_changes(messages: Sequence[FollowedMessage]) -> list[ListChange]:
    return [
        to_list_change(message.partition, message.offset, message.event)
        for message in messages
        if isinstance(message.event, ReferralChanged)
    ]


class WorklistListener:
    """A reader who follows one list, with the changes that still have to be sent, at most `_MAX_PENDING`.

    Above that number, and where the feed cannot tell, `missed` is True: the reader has to read the list again.
    `position` is the token of the last offsets before which every change has been sent.
    """

    def __init__(self, scope: WorklistScope, caller: Caller, position: str) -> None:
        self.scope = scope
        self.caller = caller
        self.missed = False
        self.position = position
        self._pending: dict[str, ListChange] = {}
        self._woken = asyncio.Event()

    def add(self, change: ListChange) -> None:
        """Add a change, if it may affect the list. A user may have claimed for any team of their organisation."""
        may_be_claimed = self.scope.all_teams_of_user and change.recipient == self.caller.organisation
        if not may_be_claimed and not change.affects(self.scope):
            return
        self._pending[change.referral_id] = change
        if len(self._pending) > _MAX_PENDING:
            self.mark_missed()
        self._woken.set()

    def mark_missed(self) -> None:
        """Drop the pending changes: the reader may have missed some, and has to read the list again."""
        self._pending, self.missed = {}, True
        self._woken.set()

    def wake(self) -> None:
        """End `wait`."""
        self._woken.set()

    async def wait(self, seconds: float) -> None:
        """Wait until there is a change to send, at most for this time."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._woken.wait()
        except TimeoutError:
            return

    def take(self) -> tuple[list[ListChange], bool]:
        """Take the pending changes, the last one of each referral; and whether the reader may have missed some."""
        changes, missed = list(self._pending.values()), self.missed
        self._pending, self.missed = {}, False
        self._woken.clear()
        return changes, missed


class WorklistFeed:
    """Reads `care.referral` in a thread, and hands each change to the listeners of this process.

    It buffers the last changes, so that a reader whose connection broke resumes without a gap, here or at another
    process.
    """

    def __init__(
        self, bootstrap: str, codec: Codec, max_listeners: int, stopping: asyncio.Event, topic_prefix: str = ""
    ) -> None:
        self._follower = TopicFollower(bootstrap, REFERRAL_TOPIC, codec, self, _LOOKBACK, topic_prefix)
        self._max_listeners = max_listeners
        self._stopping = stopping
        self._loop: asyncio.AbstractEventLoop | None = None
        self._first: dict[int, int] = {}
        self._next: dict[int, int] = {}
        self._buffer: deque[ListChange] = deque()
        self._listeners: set[WorklistListener] = set()

    @property
    def stopping(self) -> bool:
        """Whether the process stops."""
        return self._stopping.is_set()

    @property
    def position(self) -> str:
        """The token of the offsets that this process has read: the position of a listener without pending changes."""
        return offsets_to_token(self._next)

    @property
    def silence_s(self) -> float:
        """For how many seconds Kafka has not answered. A few seconds are normal while there are no messages."""
        return time.monotonic() - self._follower.last_contact_at

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read changes inside the context."""
        self._loop, stop = asyncio.get_running_loop(), threading.Event()
        thread = threading.Thread(target=self._follower.run, args=[stop], name="following", daemon=True)
        thread.start()
        waking = asyncio.create_task(self._wake_when_stopping())
        try:
            yield
        finally:
            waking.cancel()
            stop.set()
            await asyncio.to_thread(thread.join)

    def add_listener(self, scope: WorklistScope, caller: Caller, last_event_id: str) -> WorklistListener:
        """Add a listener for the changes from now on, or those after `last_event_id`, if it is not empty.

        Raises `Unavailable` where there are too many listeners, and until the first offsets are known.
        """
        of_caller = sum(listener.caller == caller for listener in self._listeners)
        is_full = len(self._listeners) >= self._max_listeners
        if is_full or of_caller >= max(_CALLER_MINIMUM, self._max_listeners // _CALLER_SHARE):
            raise Unavailable("Too many worklist streams are open. Try again later, or poll the list.")
        if not self._next:
            raise Unavailable("Worklist streams are not ready yet. Try again.")
        listener = WorklistListener(scope, caller, self.position)
        if last_event_id:
            self._resume(listener, last_event_id)
        self._listeners.add(listener)
        _listener_gauge.set(len(self._listeners))
        return listener

    def remove_listener(self, listener: WorklistListener) -> None:
        """Remove a listener whose reader has left."""
        self._listeners.discard(listener)
        _listener_gauge.set(len(self._listeners))

    def on_start(self, offsets: Mapping[int, int]) -> None:
        """See `MessageListener`. The follower's thread calls this."""
        self._call(self._start, dict(offsets))

    def on_messages(self, messages: Sequence[FollowedMessage]) -> None:
        """See `MessageListener`. The follower's thread calls this."""
        offsets = {message.partition: message.offset + 1 for message in messages}
        self._call(self._add, offsets, _list_changes(messages))

    def _start(self, offsets: dict[int, int]) -> None:
        self._first, self._next = dict(offsets), offsets
        self._buffer.clear()
        for listener in self._listeners:
            listener.mark_missed()

    def _add(self, offsets: dict[int, int], changes: Sequence[ListChange]) -> None:
        self._next |= offsets
        for change in changes:
            self._buffer.append(change)
            for listener in self._listeners:
                listener.add(change)
        while len(self._buffer) > _MAX_BUFFERED:
            dropped = self._buffer.popleft()
            self._first[dropped.partition] = dropped.offset + 1

    def _resume(self, listener: WorklistListener, last_event_id: str) -> None:
        """Add the changes after this event; where the buffer does not have them all, mark them as missed."""
        offsets = offsets_from_token(last_event_id)
        if offsets is None or not self._has_all_after(offsets):
            listener.mark_missed()
            return
        listener.position = last_event_id
        for change in self._buffer:
            if change.offset >= offsets[change.partition]:
                listener.add(change)

    def _has_all_after(self, offsets: FeedOffsets) -> bool:
        """Return whether every change after these offsets is in the buffer, or still to come.

        Another process may have read further than this one, which will read the rest. Offsets that are more than a
        whole buffer ahead are not credible.
        """
        if offsets.keys() != self._next.keys():
            return False
        return all(
            self._first[partition] <= offset <= self._next[partition] + _MAX_BUFFERED
            for partition, offset in offsets.items()
        )

    def _call(self, function: object, *arguments: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *arguments)  # type: ignore[arg-type]
        except RuntimeError:
            # The event loop is closed, so there are no listeners.
            log.debug("feed_loop_closed")

    async def _wake_when_stopping(self) -> None:
        await self._stopping.wait()
        for listener in self._listeners:
            listener.wake()


def offsets_to_token(offsets: FeedOffsets) -> str:
    """The offsets as an opaque string, for Last-Event-ID."""
    return ".".join(_base36(offsets[partition]) for partition in sorted(offsets))


def offsets_from_token(token: str) -> FeedOffsets | None:
    """The offsets of a token; None for any other text."""
    if not _TOKEN.fullmatch(token):
        return None
    return {partition: int(part, 36) for partition, part in enumerate(token.split("."))}


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
