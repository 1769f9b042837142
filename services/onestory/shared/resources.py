"""What the rooms that one process serves have in common, built once by the composition root."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from onestory.shared.audit import AuditTrail
from onestory.shared.contracts.codec import Codec
from onestory.shared.identity import Keys
from onestory.shared.producer import Producer
from onestory.shared.settings import Settings
from onestory.shared.visibility import VisiblePositions


@dataclass(frozen=True, slots=True)
class Resources:
    """Settings and the adapters behind them."""

    settings: Settings
    keys: Keys
    codec: Codec
    producer: Producer
    audit: AuditTrail
    pool: asyncpg.Pool
    visible: VisiblePositions

    async def postgres_ready(self) -> bool:
        """Whether PostgreSQL answers with the record's tables."""
        try:
            return await self.pool.fetchval("select count(*) >= 0 from record.visible_position", timeout=2.0) is True
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
