"""Memory of long-running processes: settings of the garbage collector and of malloc, and a bounded cache."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

# mallopt(3), glibc's malloc.h
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE_BYTES = 131_072
_ARENAS = 2


def tune_gc() -> None:
    """Set the garbage collector and malloc for a process that handles large Bundles. Call it once, after all imports.

    The collector no longer walks imported modules. It runs less often than by default, because most objects of a
    request are in no cycle. It must still run: kafka-python's futures are cycles that hold fetched messages. The
    projector took 450 MB when the collector ran seldom, and 110 MB with this threshold.

    glibc keeps freed blocks for each thread. With these settings it gives large blocks back to the system. Other C
    libraries have no such settings and are left alone.
    """
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Cache(Generic[Key, Value]):
    """A cache that drops the least recently used value. A value must follow from its key alone.

    The values weigh at most `max_weight` together. Without `weigh` each value weighs one.
    """

    def __init__(self, max_weight: int, weigh: Callable[[Value], int] = lambda _: 1) -> None:
        self._max_weight = max_weight
        self._weigh = weigh
        self._weight = 0
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get_or_make(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value of this key; make and store it if it is missing."""
        value = self.get(key)
        return self.put(key, make()) if value is None else value

    def get(self, key: Key) -> Value | None:
        """Return the value of this key, or None."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: Key, value: Value) -> Value:
        """Store the value, drop old ones until the weight fits, and return the value."""
        self.drop(key)
        self._values[key] = value
        self._weight += self._weigh(value)
        while self._weight > self._max_weight:
            self.drop(next(iter(self._values)))
        return value

    def drop(self, key: Key) -> None:
        """Remove this key, if it is there."""
        if key in self._values:
            self._weight -= self._weigh(self._values.pop(key))
