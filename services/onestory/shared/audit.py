"""The audit trail: writes access events to the topic `care.access`.

A read is answered only after Kafka has acknowledged its access event.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import structlog
from uuid_utils.compat import uuid7

from onestory.shared.errors import Unavailable
from onestory.shared.events import AccessRecorded
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.messages import event_message
from onestory.shared.kafka.producer import KafkaMessage, Producer
from onestory.shared.kafka.schemas import ACCESS_TOPIC
from onestory.shared.policy import Caller, Decision

log = structlog.get_logger()

# The longest time that a group waits for reads that have begun.
_GATHERING_S = 0.002


def access_event(
    person_key: str,
    caller: Caller,
    decision: Decision,
    interaction: str,
    resource_types: tuple[str, ...],
    correlation_id: str,
) -> AccessRecorded:
    """Return the access event, with the present time, of one identity of a person. No resource types means all."""
    return AccessRecorded(
        access_id=uuid7(),
        person_key=person_key,
        occurred_at=datetime.now(UTC),
        organisation=caller.organisation,
        subject=caller.subject,
        role=caller.role,
        purpose=caller.purpose,
        interaction=interaction,
        resource_types=resource_types,
        visibility=decision.visibility.value,
        reason=decision.reason,
        correlation_id=correlation_id,
    )


class AuditTrail:
    """Writes access events in groups. While one group is being sent, the next one gathers.

    One process writes to one partition, so its events stay in order and a group is one batch for the broker. A group
    costs the same at any size, so it waits up to 2 ms for reads that have begun (docs/explanation/decisions/0004).
    """

    def __init__(self, producer: Producer, codec: Codec) -> None:
        self._producer = producer
        self._codec = codec
        self._partition: int | None = None
        self._waiting: list[tuple[KafkaMessage, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._open_reads = 0
        self._all_recorded = asyncio.Event()

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Mark a read as begun: wrap the part of the read before its `record`."""
        self._open_reads += 1
        try:
            yield
        finally:
            self._open_reads -= 1
            if not self._open_reads:
                self._all_recorded.set()

    async def record(self, *accesses: AccessRecorded) -> None:
        """Return after all in-sync replicas have the events, which go into one group.

        Raises `Unavailable`; then the read must show nothing.
        """
        if self._partition is None:
            self._partition = secrets.randbelow(max(1, await self._producer.partitions(ACCESS_TOPIC)))
        loop = asyncio.get_running_loop()
        written: list[asyncio.Future[None]] = []
        for access in accesses:
            message = event_message(ACCESS_TOPIC, access.person_key.encode(), access, self._codec, self._partition)
            written.append(loop.create_future())
            self._waiting.append((message, written[-1]))
        if written and self._writing is None:
            self._writing = asyncio.create_task(self._write())
        # Waits for all of them, so that no failure stays unread. All events of one group have one outcome.
        for outcome in await asyncio.gather(*written, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                group, self._waiting = self._waiting, []
                await self._write_group(group)
        finally:
            self._writing = None

    async def _gather(self) -> None:
        if self._open_reads:
            self._all_recorded.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_GATHERING_S):
                    await self._all_recorded.wait()
        # Yield once, so that the last expected read can call `record`.
        await asyncio.sleep(0)

    async def _write_group(self, group: list[tuple[KafkaMessage, asyncio.Future[None]]]) -> None:
        failure: Unavailable | None = None
        try:
            await self._producer.send([message for message, _ in group])
        except Exception as error:
            # After any error every waiting read must get an answer, and must show nothing.
            if not isinstance(error, Unavailable):
                log.error("audit_failed", error=type(error).__name__)
            failure = Unavailable("The access could not be audited, so nothing is shown. Try again.")
        for _, written in group:
            if written.done():  # the caller has disconnected
                continue
            if failure:
                written.set_exception(failure)
            else:
                written.set_result(None)
