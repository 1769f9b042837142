"""An upgrade from a release without as-of works out from existing rows when each whole list arrived."""

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
    values ('k', 'k-1', '00000000-0000-0000-0000-000000000001', 1, now(), 'Condition', 'X26', 'epr', 'c', 'retract',
        null, '', '2026-01-02T00:00:00Z', 0, 0, now())
"""
_LIST = """
    insert into whole_list (person_key, organisation, system, resource_type, event_id, rank, published_at)
    values ('k', 'X26', 'epr', 'Condition', %s, 1, '2026-01-01T00:00:00Z')
"""


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The migrations of the previous release."""
    for path in MIGRATIONS.glob("000[1-4]_*.sql"):
        shutil.copy(path, tmp_path)
    return tmp_path


def test_an_upgrade_knows_when_it_got_a_list_by_its_statements_or_by_when_it_was_published(
    database: str, before: Path
) -> None:
    listing, of_nothing = (f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2))
    postgres_database.migrate(database, "record", before)
    with postgres_database.connect(database, "record") as connection:
        connection.execute(_STATEMENT)
        for event_id in (listing, of_nothing):
            connection.execute(_LIST, [event_id])

    postgres_database.migrate(database, "record", MIGRATIONS)

    with postgres_database.connect(database, "record") as connection:
        got = connection.execute("select event_id::text, (broker_time at time zone 'UTC')::date::text from whole_list")
        assert dict(got.fetchall()) == {listing: "2026-01-02", of_nothing: "2026-01-01"}
