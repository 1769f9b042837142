"""Turns: one caller has a few requests in progress at a time. Its other requests wait, the oldest first.

A request gives its turn away while it only waits, and goes on before requests that have not begun.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar


class _Line:
    """The requests of one caller: how many are in progress, and those that wait. `begun` go on before `new` ones."""

    __slots__ = ("begun", "in_progress", "new")

    def __init__(self) -> None:
        self.in_progress = 0
        self.begun: deque[asyncio.Future[None]] = deque()
        self.new: deque[asyncio.Future[None]] = deque()

    def next_waiting(self) -> asyncio.Future[None] | None:
        """Remove and return the first that still waits."""
        for waiting in (self.begun, self.new):
            while waiting:
                if not (first := waiting.popleft()).done():
                    return first
        return None


class Turns:
    """Gives each owner at most `most` turns at a time, and at most `most_large` for large records."""

    def __init__(self, most: int, most_large: int = 2) -> None:
        self._most = most
        self._lines: dict[Hashable, _Line] = {}
        self.large = Turns(most_large, 0) if most_large else None

    async def take(self, owner: Hashable) -> Turn:
        """Return a turn, once the owner has one free. End it with `end`."""
        turn = Turn(self, owner)
        turn.has_waited = await self._take(owner, begun=False)
        turn.is_held = True
        return turn

    async def take_again(self, turn: Turn) -> None:
        """Wait until a turn that was given away may go on."""
        await self._take(turn.owner, begun=True)
        turn.is_held = True

    async def _take(self, owner: Hashable, *, begun: bool) -> bool:
        """Return whether it had to wait."""
        line = self._lines.get(owner)
        if line is None:
            line = self._lines[owner] = _Line()
        if line.in_progress < self._most:
            line.in_progress += 1
            return False
        got_turn = asyncio.get_running_loop().create_future()
        (line.begun if begun else line.new).append(got_turn)
        try:
            await got_turn
        except asyncio.CancelledError:
            if not got_turn.cancelled():  # it had got the turn already
                self.give_back(owner)
            raise
        return True

    def give_back(self, owner: Hashable) -> None:
        """Pass a turn on to the next request of the owner that waits."""
        line = self._lines[owner]
        if (waiting := line.next_waiting()) is not None:
            waiting.set_result(None)
            return
        line.in_progress -= 1
        if not line.in_progress:
            del self._lines[owner]


class Turn:
    """The turn of one request. `has_waited`: it was not free at once."""

    __slots__ = ("_large", "_turns", "has_waited", "is_held", "owner")

    def __init__(self, turns: Turns, owner: Hashable) -> None:
        self._turns = turns
        self.owner = owner
        self.has_waited = False
        self.is_held = False
        self._large: Turn | None = None

    def end(self) -> None:
        """Give everything back that this request holds."""
        if self._large is not None:
            self._large.end()
            self._large = None
        if self.is_held:
            self.give_away()

    def give_away(self) -> None:
        """Let another request of the owner go on. This one holds a turn."""
        self.is_held = False
        self._turns.give_back(self.owner)

    async def take_large(self) -> None:
        """Wait until this request may read a large record. It holds that until its end."""
        if self._large is None and self._turns.large is not None:
            self._large = await self._turns.large.take(self.owner)

    async def take_again(self) -> None:
        """Wait until this request may go on."""
        await self._turns.take_again(self)


current_turn: ContextVar[Turn | None] = ContextVar("current_turn", default=None)
"""The turn of the request that this task works on; None where turns do not count."""


@asynccontextmanager
async def without_turn() -> AsyncIterator[None]:
    """Give the turn of this request away inside the block, which only waits. Afterwards wait for a turn again.

    A block that raises needs no turn: only the error is left to send. Never use this inside a transaction, because
    the requests that have the turns may wait for its locks.
    """
    turn = current_turn.get()
    if turn is None or not turn.is_held:
        yield
        return
    turn.give_away()
    yield
    await turn.take_again()


async def wait_for_large_turn() -> None:
    """Wait until this request may read a large record, because each costs the event loop some milliseconds."""
    if (turn := current_turn.get()) is not None:
        async with without_turn():
            await turn.take_large()
