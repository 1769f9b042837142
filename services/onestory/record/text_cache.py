"""Caches what is read from texts. The same names and directions recur in every record; long texts do not."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, update_wrapper
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")

MAX_CACHED_LENGTH = 200
"""Characters of a text whose result is kept. A longer one is read again, so that no record can fill the memory."""
MAX_READ_LENGTH = 2_000
"""Characters that are read of a text in which words are looked for. Readers see the whole text."""


class CachedTextFunction(Generic[Result]):
    """A function of texts with a cache. `read`: how many characters of a long text are read; None: all."""

    def __init__(self, function: Callable[..., Result], maxsize: int, read: int | None) -> None:
        update_wrapper(self, function)
        self._function = function
        self._cached = lru_cache(maxsize=maxsize)(function)
        self._read = read

    def __call__(self, *arguments: Any) -> Result:
        if len(arguments) == 1 and len(arguments[0]) <= MAX_CACHED_LENGTH:
            # The fast path: most functions read one short text.
            return self._cached(arguments[0])
        for argument in arguments:
            if isinstance(argument, str) and len(argument) > MAX_CACHED_LENGTH:
                cut = [each[: self._read] if isinstance(each, str) else each for each in arguments]
                return self._function(*cut)
        return self._cached(*arguments)

    def cache_clear(self) -> None:
        """Forget all results."""
        self._cached.cache_clear()


def cache_texts(
    maxsize: int, *, read: int | None = None
) -> Callable[[Callable[..., Result]], CachedTextFunction[Result]]:
    """A decorator like `lru_cache` for functions of texts."""
    return lambda function: CachedTextFunction(function, maxsize, read)
