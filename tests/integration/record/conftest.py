"""An empty record for each test of the projector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.stack import Stack

import onestory.record
from onestory.shared.identity import Keys
from onestory.shared.postgres import database

if TYPE_CHECKING:
    from tests.integration.record.record import Record


@pytest.fixture(scope="module")
def record_of_module(stack: Stack) -> Record:
    # kafka-python warns as it is imported, and pytest's filters are not in place when a conftest is.
    from tests.integration.record.record import Record

    dsn = stack.fresh_database()
    database.migrate(dsn, "record", Path(onestory.record.__file__).parent / "migrations")
    return Record(dsn)


@pytest.fixture
def record(record_of_module: Record) -> Record:
    """An empty record."""
    record_of_module.empty()
    return record_of_module


@pytest.fixture
def keys() -> Keys:
    return Keys(b"a secret for tests, long enough!")
