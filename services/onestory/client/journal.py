"""The journal of an unfinished run: the keys of the items that are published already.

It holds digests only. SQLite keeps it sound when the process is killed, and out of memory however long the run.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

_TABLE = "create table if not exists done (key blob primary key, run integer not null) without rowid"


class Journal:
    """Which items an earlier, interrupted run has published. `fresh` forgets what that run did."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        if fresh:
            self._remove()
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("pragma journal_mode = wal")
        # The worst that a power cut can do is that some items are sent again, with the same key.
        self._database.execute("pragma synchronous = normal")
        self._database.execute(_TABLE)
        self.published, last = self._database.execute("select count(*), coalesce(max(run), 0) from done").fetchone()
        self._run = last + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def has(self, key: str) -> bool:
        """Whether an earlier run published it. Repeats within one run are meant: the door shall see them."""
        query = "select 1 from done where key = ? and run < ?"
        return self._database.execute(query, (bytes.fromhex(key), self._run)).fetchone() is not None

    def add(self, key: str) -> None:
        """The item is published."""
        self._database.execute("insert or ignore into done values (?, ?)", (bytes.fromhex(key), self._run))

    def finish(self) -> None:
        """The run reached its end: a next one publishes everything again, which the keys make harmless."""
        self._database.close()
        self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
