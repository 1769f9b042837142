"""`onestory migrate`: bring every room's PostgreSQL schema up to date."""

from __future__ import annotations

import argparse
from pathlib import Path

from onestory.record.store import patient_names
from onestory.shared import postgres, settings

ROOMS = ("record", "referral")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: the database is the one in ONESTORY_POSTGRES."""


def run(_arguments: argparse.Namespace) -> int:
    """Apply what is pending and name it."""
    dsn = settings.read().postgres
    for room in ROOMS:
        applied = postgres.migrate(dsn, room, Path(__file__).parent / room / "migrations")
        print(f"{room}: " + (", ".join(applied) if applied else "up to date"))
    with postgres.connect(dsn, "record") as connection:
        if filled := patient_names.fill(connection):
            print(f"record: names in {filled} Patient statements")
    return 0
