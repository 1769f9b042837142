"""What the rooms that one process serves have in common, built once by the composition root."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import asyncpg

from onestory.shared.audit import AuditTrail
from onestory.shared.errors import Unavailable
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.producer import Producer
from onestory.shared.postgres.database import Database
from onestory.shared.settings import Settings
from onestory.shared.visible_positions import VisiblePositions


@dataclass(frozen=True, slots=True)
class Resources:
    """Settings and the adapters behind them."""

    settings: Settings
    keys: Keys
    codec: Codec
    producer: Producer
    audit: AuditTrail
    database: Database
    visible: VisiblePositions
    beside: list[Callable[[], AbstractAsyncContextManager[None]]] = field(default_factory=list)
    """What a room does beside its requests: open while the process serves."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the process is asked to end: then answers that go on for ever end too."""

    async def postgres_ready(self) -> bool:
        """Whether PostgreSQL answers with the record's tables."""
        try:
            async with asyncio.timeout(2.0):
                return await self.database.fetchval("select count(*) >= 0 from record.visible_position") is True
        except (Unavailable, TimeoutError, asyncpg.UndefinedTableError):
            return False
