"""The audit trail: access events on `care.access`, acknowledged before the answer that they are about leaves."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog

from onestory.shared.errors import Unavailable
from onestory.shared.events import AccessRecorded
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.producer import KafkaMessage, Producer
from onestory.shared.kafka.schemas import ACCESS

log = structlog.get_logger()

# How long a group waits at most for reads that have begun.
_GATHERING_S = 0.002


class AuditTrail:
    """Writes access events in groups: while one group is on its way, the next one gathers.

    A writer keeps to one partition, so its events are in order there, and a group is one batch for the broker. What a
    group costs does not depend on its size, so it waits a moment for reads that have begun (docs/decisions/0004).
    """

    def __init__(self, producer: Producer, codec: Codec) -> None:
        self._producer = producer
        self._codec = codec
        self._partition: int | None = None
        self._waiting: list[tuple[KafkaMessage, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._begun = 0
        self._all_here = asyncio.Event()

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Around the part of a read that comes before its `record`."""
        self._begun += 1
        try:
            yield
        finally:
            self._begun -= 1
            if not self._begun:
                self._all_here.set()

    async def record(self, access: AccessRecorded) -> None:
        """Return once all in-sync replicas have the event. Raises `Unavailable`: then nothing may be shown."""
        if self._partition is None:
            self._partition = secrets.randbelow(max(1, await self._producer.partitions(ACCESS)))
        message = KafkaMessage(
            ACCESS, access.person_key.encode(), self._codec.encode(access), partition=self._partition
        )
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((message, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await written

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                group, self._waiting = self._waiting, []
                await self._write_group(group)
        finally:
            self._writing = None

    async def _gather(self) -> None:
        if self._begun:
            self._all_here.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_GATHERING_S):
                    await self._all_here.wait()
        # The last read that was expected gets its turn to record.
        await asyncio.sleep(0)

    async def _write_group(self, group: list[tuple[KafkaMessage, asyncio.Future[None]]]) -> None:
        failure: Unavailable | None = None
        try:
            await self._producer.send([message for message, _ in group])
        except Exception as error:
            # Whatever it was: nobody may be left waiting, and nothing may be shown.
            if not isinstance(error, Unavailable):
                log.error("audit_failed", error=type(error).__name__)
            failure = Unavailable("The access could not be audited, so nothing is shown. Try again.")
        for _, written in group:
            if written.done():  # its reader has gone away
                continue
            if failure:
                written.set_exception(failure)
            else:
                written.set_result(None)
