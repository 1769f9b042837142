"""An upgrade from a release without freshness fills the freshness of sources from existing statements."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import onestory.record
from onestory.shared.postgres import database as postgres_database

MIGRATIONS = Path(onestory.record.__file__).parent / "migrations"
_STATEMENT = """
    insert into statement (person_key, shared_id, event_id, rank, published_at, resource_type, organisation, system,
        local_id, operation, content, content_digest, broker_time, partition, "offset", recorded_at)
    values ('k', %s, gen_random_uuid(), %s, now(), 'Condition', %s, 'epr', 'c', 'retract', null, '', %s, %s, %s, now())
"""


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The migrations of the previous release."""
    for path in MIGRATIONS.glob("000[1-5]_*.sql"):
        shutil.copy(path, tmp_path)
    return tmp_path


def test_an_upgrade_hears_and_counts_what_was_said_before_it(database: str, before: Path) -> None:
    postgres_database.migrate(database, "record", before)
    with postgres_database.connect(database, "record") as connection:
        for offset, (rank, organisation, day, partition) in enumerate(
            [(4, "X26", 1, 0), (5, "X26", 3, 1), (8, "X26", 2, 0), (1_767_225_600_000_000, "RX1", 4, 0)]
        ):
            said = [f"k-{offset}", rank, organisation, f"2026-01-0{day}T00:00:00Z", partition, offset]
            connection.execute(_STATEMENT, said)

    postgres_database.migrate(database, "record", MIGRATIONS)

    with postgres_database.connect(database, "record") as connection:
        heard = connection.execute("select organisation, max(broker_time)::date::text from source_heard group by 1")
        assert dict(heard.fetchall()) == {"RX1": "2026-01-04", "X26": "2026-01-03"}
        spans = connection.execute("select organisation, lowest, highest, missing from sequence_span").fetchall()
        assert spans == [("X26", 4, 8, 2)]
