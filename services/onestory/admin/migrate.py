"""`onestory migrate`: applies the pending migrations of each service's PostgreSQL schema."""

from __future__ import annotations

import argparse
from pathlib import Path

from onestory.record.person import store as person_store
from onestory.record.projector import store as projector_store
from onestory.shared import settings
from onestory.shared.postgres import database

SERVICES = ("record", "referral", "intake")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are none: ONESTORY_POSTGRES names the database."""


def run(_arguments: argparse.Namespace) -> int:
    """Apply the pending migrations and print their names."""
    dsn = settings.read().postgres
    for service in SERVICES:
        applied = database.migrate(dsn, service, Path(__file__).parents[1] / service / "migrations")
        print(f"{service}: " + (", ".join(applied) if applied else "up to date"))
    with database.connect(dsn, "record") as connection:
        if filled := person_store.backfill_patient_names(connection):
            print(f"record: added the names of {filled} Patient statements to the search index")
        if removed := projector_store.remove_persons_from_directory(connection):
            print(
                f"record: removed {removed} statements from the directory, because they name a person and everyone may "
                "read the directory. Kafka still has them. A rebuild parks them with the reason."
            )
    return 0
