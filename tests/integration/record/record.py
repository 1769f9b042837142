"""A record of its own in PostgreSQL, and what projects into it without Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from prometheus_client import CollectorRegistry
from tests.integration.record.statements import arrivals

from onestory.record.domain.digest import record_digest
from onestory.record.gauges import Gauges
from onestory.record.handler import Projector
from onestory.record.parking import Parking
from onestory.record.store import connection
from onestory.shared import postgres
from onestory.shared.consumer import positions
from onestory.shared.consumer.arrival import Arrival
from onestory.shared.contracts.codec import codec
from onestory.shared.events import DirectoryChanged, RecordChanged, ReferralChanged
from onestory.shared.identity import Keys


@dataclass(frozen=True)
class Record:
    """A record in PostgreSQL."""

    dsn: str

    def connect(self, keys: Keys) -> psycopg.Connection:
        """A projector's connection."""
        return connection.connect(self.dsn, keys)

    def projector(self, keys: Keys, *authorities: str, limit: int = 1000) -> Projector:
        """A projector."""
        gauges = Gauges(CollectorRegistry())
        return Projector(keys, authorities, Parking(codec(), gauges, limit), gauges)

    def project(
        self,
        keys: Keys,
        *batches: Sequence[RecordChanged | DirectoryChanged | ReferralChanged],
        authorities: Sequence[str] = (),
    ) -> None:
        """Write batches, one transaction each."""
        projector, first = self.projector(keys, *authorities), 0
        for events in batches:
            self.project_arrivals(projector, keys, arrivals(keys, events, first))
            first += len(events)

    def project_arrivals(self, projector: Projector, keys: Keys, batch: Sequence[Arrival]) -> None:
        """Write one batch in one transaction."""
        prepared = projector.prepare(batch)
        with self.connect(keys) as connected, positions.transaction(connected) as transaction:
            projector.write(transaction, prepared)()

    def digest(self) -> str:
        """The digest of all that is visible."""
        return record_digest(self.rows("select shared_id, content_digest from current where visible"))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with postgres.connect(self.dsn, "record") as connected:
            return connected.execute(query.encode()).fetchall()

    def empty(self) -> None:
        """Forget everything."""
        with postgres.connect(self.dsn, "record") as connected:
            tables = connected.execute(_TABLES).fetchone()
            assert tables is not None
            connected.execute(f"truncate {tables[0]}".encode())


_TABLES = """select string_agg(quote_ident(tablename), ', ') from pg_tables
    where schemaname = 'record' and tablename <> 'migration'"""
