"""Large work runs in a thread, and caches stay within their size."""

from __future__ import annotations

import asyncio
import threading

import pytest
from cachetools import LRUCache

from onestory.shared.runtime import get_or_make, run_in_thread_if, store_if_it_fits


@pytest.mark.parametrize("large", [True, False])
def test_only_large_work_runs_in_another_thread(large: bool) -> None:
    thread = asyncio.run(run_in_thread_if(large, threading.current_thread))

    assert (thread is not threading.current_thread()) == large


def test_a_missing_value_is_made_once() -> None:
    cache: LRUCache[str, int] = LRUCache(10)

    assert get_or_make(cache, "a", lambda: 1) == 1
    assert get_or_make(cache, "a", lambda: 2) == 1


def test_values_that_were_not_used_for_longest_leave_when_a_new_one_needs_their_space() -> None:
    cache: LRUCache[str, bytes] = LRUCache(10, len)
    store_if_it_fits(cache, "a", b"1234")
    store_if_it_fits(cache, "b", b"1234")
    assert cache.get("a") == b"1234"

    assert store_if_it_fits(cache, "c", b"1234") == b"1234"

    assert set(cache) == {"a", "c"}


def test_a_value_larger_than_the_cache_is_returned_and_not_stored() -> None:
    cache: LRUCache[str, bytes] = LRUCache(10, len)
    store_if_it_fits(cache, "a", b"1234")
    store_if_it_fits(cache, "b", b"1234")

    assert store_if_it_fits(cache, "a", bytes(11)) == bytes(11)

    assert set(cache) == {"b"}
