"""Back-off: pauses between failing attempts. Each pause is twice as long as the one before, up to a longest one."""

from __future__ import annotations

# Without a limit the power of two becomes too large for a float after some thousand failures.
_MAX_DOUBLINGS = 16


def growing_pause_s(failures: int, first_s: float, longest_s: float) -> float:
    """Return the seconds to wait after an attempt that failed. `failures` attempts failed before it in a row."""
    return min(longest_s, first_s * 2.0 ** min(failures, _MAX_DOUBLINGS))


class GrowingPause:
    """The pauses of one loop that tries again until it succeeds.

    `failures` is the number of attempts that failed since the last success.
    """

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self.failures = 0

    def next_s(self) -> float:
        """Count a failure, and return the seconds to wait before the next attempt."""
        pause_s = growing_pause_s(self.failures, self._first_s, self._longest_s)
        self.failures += 1
        return pause_s

    def reset(self) -> None:
        """Begin with the first pause again, because an attempt succeeded."""
        self.failures = 0
