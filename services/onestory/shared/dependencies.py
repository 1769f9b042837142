"""The objects that all services of one `serve` process share. The process builds them once, at its start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from onestory.shared.audit import AuditTrail
from onestory.shared.http.internal import InternalRequests
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.producer import Producer
from onestory.shared.postgres.database import Database
from onestory.shared.settings import Settings
from onestory.shared.visible_positions import VisiblePositions
from onestory.shared.worker_processes import WorkerProcesses


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Settings, the adapters for Kafka, PostgreSQL and the audit trail, and the processes for large bodies."""

    settings: Settings
    keys: Keys
    codec: Codec
    producer: Producer
    audit: AuditTrail
    database: Database
    visible_positions: VisiblePositions
    workers: WorkerProcesses
    background: list[Callable[[], AbstractAsyncContextManager[None]]] = field(default_factory=list)
    """Context managers of background work. They stay open while the process serves."""
    internal: InternalRequests = field(default_factory=InternalRequests)
    """Reads that a service sends to the routes of this process."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process begins to stop, so that event streams end."""
