"""Gives each test of the projector an empty record."""

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
    # kafka-python warns when it is imported. Pytest's warning filters are not yet active while a conftest is imported.
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
