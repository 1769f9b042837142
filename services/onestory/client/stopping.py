"""How a run is asked to end early."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator


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
