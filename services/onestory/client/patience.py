"""How long to go on asking a door that does not answer."""

from __future__ import annotations

import asyncio
import email.utils
import random
import time
from collections.abc import Awaitable, Callable

from onestory.shared.errors import Unavailable

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 15.0


class Patience:
    """Pauses between attempts, growing and jittered, until nothing at all has succeeded for `limit_s` seconds.

    One is shared by everything that talks to the same door, so that a slow item gives up only when all others do.
    """

    def __init__(
        self,
        limit_s: float = 120.0,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.waiting_for = ""
        """Why the last attempt failed; empty once one has succeeded."""
        self._limit_s = limit_s
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter
        self._failing_since: float | None = None

    def succeeded(self) -> None:
        """The door answered: the count of seconds begins anew."""
        self._failing_since = None
        self.waiting_for = ""

    async def pause(self, attempt: int, why: str, retry_after_s: float = 0.0) -> None:
        """Wait before the attempt after `attempt` (from 0), at least as long as the door asked.

        Raises `Unavailable`, saying `why`, when patience would end before that.
        """
        now = self._clock()
        self._failing_since = now if self._failing_since is None else self._failing_since
        self.waiting_for = why
        backoff = min(FIRST_PAUSE_S * 2 ** min(attempt, 16), LONGEST_PAUSE_S)
        seconds = retry_after_s + backoff * (0.5 + self._jitter() / 2)
        if now + seconds - self._failing_since > self._limit_s:
            raise Unavailable(f"Gave up after {self._limit_s:.0f} s without any progress: {why}.")
        await self._sleep(seconds)


def retry_after_s(header: str | None) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110, section 10.2.3): a number or a date; else 0."""
    if not header:
        return 0.0
    if header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0
