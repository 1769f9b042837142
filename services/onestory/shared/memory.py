"""Memory of the long-running processes: large Bundles come and go, and what they took is to go with them."""

from __future__ import annotations

import ctypes
import gc
import sys

# mallopt(3), glibc's malloc.h
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE_BYTES = 131_072
_ARENAS = 2


def settle() -> None:
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
