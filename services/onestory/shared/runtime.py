"""Memory of the long-running processes: large Bundles come and go, and what they took is to go with them."""

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
    """Call once, when everything is imported and before any work.

    What was imported stays, so the collector need not walk it again and again; it runs less often than by default, for
    most of what a request makes is in no cycle, and often enough, for kafka-python's futures are, with fetched messages
    among them (measured: 450 MB for the projector when it runs seldom, 110 MB so).

    glibc keeps freed blocks for the next request, more of them the larger they were, and for each thread anew: from a
    fixed size on they go back to the system. Other C libraries have no such settings, and nothing is done there.
    """
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


# A bounded memory of what is dear to get and follows from its key alone.

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Cache(Generic[Key, Value]):
    """Keeps the values that were asked for last, as many as weigh `most` together. Without `weigh` each weighs one."""

    def __init__(self, most: int, weigh: Callable[[Value], int] = lambda _: 1) -> None:
        self._most = most
        self._weigh = weigh
        self._weight = 0
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value under this key, made now if it is not there."""
        found = self.find(key)
        return self.keep(key, make()) if found is None else found

    def find(self, key: Key) -> Value | None:
        """The value under this key, if it is there."""
        found = self._values.get(key)
        if found is not None:
            self._values.move_to_end(key)
        return found

    def keep(self, key: Key, value: Value) -> Value:
        """Keep this value under this key; what was asked for least lately makes room. The value."""
        self.drop(key)
        self._values[key] = value
        self._weight += self._weigh(value)
        while self._weight > self._most:
            self.drop(next(iter(self._values)))
        return value

    def drop(self, key: Key) -> None:
        """Forget the value under this key."""
        if key in self._values:
            self._weight -= self._weigh(self._values.pop(key))
