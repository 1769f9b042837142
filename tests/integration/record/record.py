"""A record in PostgreSQL, and helpers that project events into it without Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from prometheus_client import CollectorRegistry
from tests.integration.record.statements import arrivals

from onestory.record.parking.park import Parking
from onestory.record.projector import main as projector_main
from onestory.record.projector.handler import RecordProjector
from onestory.record.projector.metrics import ProjectorMetrics
from onestory.record.projector.rows import record_digest
from onestory.shared.events import ConsumedMessage, DirectoryChanged, RecordChanged, ReferralChanged
from onestory.shared.identity import Keys
from onestory.shared.kafka import reader
from onestory.shared.kafka.codec import create_codec
from onestory.shared.postgres import database


@dataclass(frozen=True)
class Record:
    """A record in a PostgreSQL database."""

    dsn: str

    def connect(self, keys: Keys) -> psycopg.Connection:
        """A database connection as the projector opens it."""
        return projector_main.connect_projector(self.dsn, keys)

    def projector(self, keys: Keys, *authorities: str, limit: int = 1000, identity_limit: int = 20) -> RecordProjector:
        """A projector with these demographic authorities and this limit of parked messages."""
        gauges = ProjectorMetrics(CollectorRegistry())
        return RecordProjector(keys, authorities, Parking(create_codec(), gauges, limit), gauges, identity_limit)

    def project(
        self,
        keys: Keys,
        *batches: Sequence[RecordChanged | DirectoryChanged | ReferralChanged],
        authorities: Sequence[str] = (),
    ) -> None:
        """Project batches of events, each batch in its own transaction."""
        projector, first = self.projector(keys, *authorities), 0
        for events in batches:
            self.project_arrivals(projector, keys, arrivals(keys, events, first))
            first += len(events)

    def project_arrivals(self, projector: RecordProjector, keys: Keys, batch: Sequence[ConsumedMessage]) -> None:
        """Project one batch in one transaction."""
        prepared = projector.prepare(batch)
        with self.connect(keys) as connected, reader.transaction(connected) as transaction:
            projector.write(transaction, prepared)()

    def digest(self) -> str:
        """The record digest over all visible current statements."""
        return record_digest(self.rows("select shared_id, content_digest from current where visible"))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows that a query returns."""
        with database.connect(self.dsn, "record") as connected:
            return connected.execute(query.encode()).fetchall()

    def empty(self) -> None:
        """Empty every table of the record except its list of migrations."""
        with database.connect(self.dsn, "record") as connected:
            tables = connected.execute(_TABLES).fetchone()
            assert tables is not None
            connected.execute(f"truncate {tables[0]}".encode())


_TABLES = """select string_agg(quote_ident(tablename), ', ') from pg_tables
    where schemaname = 'record' and tablename <> 'migration'"""
