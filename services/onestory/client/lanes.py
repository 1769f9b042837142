"""Work side by side, except within a lane."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self


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
