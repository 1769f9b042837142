"""Memory and threads of long-running processes: the garbage collector and malloc, large work, and bounded caches."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import resource
import sys
from collections.abc import Callable
from typing import TypeVar

from cachetools import Cache

# mallopt(3), glibc's malloc.h
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE_BYTES = 131_072
_ARENAS = 2

Key = TypeVar("Key")
Value = TypeVar("Value")


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


def tune_threads() -> None:
    """Let the event loop interrupt Python code of another thread after 1 ms. The default of 5 ms adds up."""
    sys.setswitchinterval(0.001)


def raise_open_files(wanted: int) -> int:
    """Raise the process's limit on open files to `wanted`, as far as the system allows, and return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


async def run_in_thread_if(large: bool, work: Callable[[], Value]) -> Value:
    """Return the result of `work`. Large work runs in a thread, so that the event loop serves other requests."""
    return await asyncio.to_thread(work) if large else work()


def get_or_make(cache: Cache[Key, Value], key: Key, make: Callable[[], Value]) -> Value:
    """Return the cached value of this key. Make and store it if it is missing. A value must not be None."""
    value = cache.get(key)
    if value is None:
        value = cache[key] = make()
    return value


def store_if_it_fits(cache: Cache[Key, Value], key: Key, value: Value) -> Value:
    """Store a value in place of an earlier one, unless it is larger than the whole cache. Return the value."""
    cache.pop(key, None)
    if cache.getsizeof(value) <= cache.maxsize:
        cache[key] = value
    return value
