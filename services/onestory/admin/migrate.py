"""`onestory migrate`: bring every room's PostgreSQL schema up to date."""

from __future__ import annotations

import argparse
from pathlib import Path

from onestory.record.person import store as person_store
from onestory.shared import settings
from onestory.shared.postgres import database

ROOMS = ("record", "referral")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: the database is the one in ONESTORY_POSTGRES."""


def run(_arguments: argparse.Namespace) -> int:
    """Apply what is pending and name it."""
    dsn = settings.read().postgres
    for room in ROOMS:
        applied = database.migrate(dsn, room, Path(__file__).parents[1] / room / "migrations")
        print(f"{room}: " + (", ".join(applied) if applied else "up to date"))
    with database.connect(dsn, "record") as connection:
        if filled := person_store.fill_names(connection):
            print(f"record: names in {filled} Patient statements")
    return 0
