"""Idempotency keys: one key of a source names one content, whichever process takes the request.

The table `intake.idempotency_key` holds them. A key is added after the checks of a publish and before its send. While
PostgreSQL is away, publishes go on: this process remembers its own keys, and the projector parks what others let in.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial

import asyncpg
import structlog
from cachetools import FIFOCache

from onestory.intake import reservation_store
from onestory.intake.domain.request import Submission, SubmissionContext
from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.postgres.database import Database
from onestory.shared.runtime import run_in_thread_if
from onestory.shared.worker_processes import LARGE_BODY

log = structlog.get_logger()

_MAX_KEYS = 20_000
_FORGET_EVERY_S = 3600.0


class IdempotencyKeys:
    """Refuses a key that its source has used for other content. The latest keys are also kept in memory."""

    def __init__(self, database: Database, max_keys: int = _MAX_KEYS) -> None:
        self._database = database
        self._stored: FIFOCache[tuple[str, str, str], bytes] = FIFOCache(max_keys)
        self._not_stored: FIFOCache[tuple[str, str, str], bytes] = FIFOCache(max_keys)

    async def use(self, submission: Submission, context: SubmissionContext) -> None:
        """Add the key of a submission that will be sent. Raises `Unprocessable` when it names other content."""
        if not context.idempotency_key:
            return
        key = (context.source.organisation, context.source.system, context.idempotency_key)
        is_large = len(submission.body) > LARGE_BODY
        digest = await run_in_thread_if(is_large, partial(_digest, submission, context))
        if key not in self._stored:
            await self._store(key, digest, context)
        if (self._stored.get(key) or self._not_stored[key]) != digest:
            text = "Idempotency-Key: this key was used with other content. Send a new key for new content."
            raise Unprocessable(text, code="duplicate")

    async def _store(self, key: tuple[str, str, str], digest: bytes, context: SubmissionContext) -> None:
        try:
            self._stored[key] = await reservation_store.add_key(self._database, context.source, key[2], digest)
        except Unavailable:
            self._not_stored.setdefault(key, digest)
            log.warning("idempotency_key_not_stored")

    @asynccontextmanager
    async def forgetting(self, age: timedelta) -> AsyncIterator[None]:
        """Delete old keys and reservations once an hour, as long as the context is open."""
        task = asyncio.create_task(self._forget(age))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _forget(self, age: timedelta) -> None:
        while True:
            try:
                await reservation_store.forget_older(self._database, age)
            except (Unavailable, asyncpg.PostgresError):
                log.warning("old_idempotency_keys_not_deleted")
            await asyncio.sleep(_FORGET_EVERY_S)


def _digest(submission: Submission, context: SubmissionContext) -> bytes:
    url = (submission.method, submission.resource_type, submission.resource_id, submission.search)
    condition, sequence = submission.if_none_exist or "", str(context.sequence)
    claims = (condition, sequence, context.replaced_system, *sorted(context.complete_types))
    digest = hashlib.sha256("\0".join((*url, *claims, "")).encode())
    digest.update(submission.body)
    return digest.digest()
