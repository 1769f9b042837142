"""`onestory record moved`: lists resources that left a person's record, and who had read them there.

A resource leaves when its source states it for another person, or when an identity link is undone. The readers must
be informed by hand.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from onestory.admin.readers import (
    Readers,
    find_person_key,
    format_time,
    parse_moment,
    readers_as_json,
    readers_table,
    tally_readers,
)
from onestory.record.parking import store as parking_store
from onestory.record.person import moved_store
from onestory.record.person.moved import LINK_UNDONE, MovedResource
from onestory.shared import settings

_WHY = {LINK_UNDONE: "shown here by an identity link that was undone"}
_STATED_FOR_ANOTHER = "stated for another person since"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`moved` is the only action."""
    actions = parser.add_subparsers(dest="action", metavar="moved", required=True)
    listing = actions.add_parser(
        "moved", help="list resources that left a person's record, and who had read them there"
    )
    listing.add_argument(
        "--since",
        type=parse_moment,
        metavar="TIME",
        help="resources that left at this time or later (FHIR date or dateTime; without a zone: UK time)",
    )
    listing.add_argument(
        "--person", metavar="NHS|KEY", help="resources that left this person: an NHS number or a person key"
    )
    listing.add_argument("--json", action="store_true", help="print a JSON list")


def run(arguments: argparse.Namespace) -> int:
    """Print the list. Raises errors that `main` prints as one sentence, with exit code 1."""
    config = settings.read()
    with parking_store.open_connection(config.postgres) as connection:
        moved = moved_store.moved_resources(connection, find_person_key(connection, arguments.person), arguments.since)
    tally = tally_readers(config, moved)
    listed = [(resource, tally.readers(resource)) for resource in moved]
    if arguments.json:
        print(json.dumps([_as_json(resource, readers) for resource, readers in listed], indent=2))
    else:
        _print_table(listed)
    return 0


def _as_json(moved: MovedResource, readers: Readers) -> dict[str, Any]:
    return {
        "person_key": moved.person_key,
        "now_person_key": moved.now_key,
        "resource": f"{moved.resource_type}/{moved.shared_id}",
        "source": moved.organisation,
        "why": moved.why,
        "since": moved.since.isoformat(),
        "until": moved.until.isoformat(),
        "readers": readers_as_json(readers),
    }


def _print_table(listed: Sequence[tuple[MovedResource, Readers]]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    if not listed:
        console.print("No resource has left a person's record.")
    for moved, readers in listed:
        console.print(f"[bold]{moved.resource_type}/{moved.shared_id}[/] of {moved.organisation}")
        why = _WHY.get(moved.why, _STATED_FOR_ANOTHER)
        console.print(f"  {why}: {format_time(moved.since)} to {format_time(moved.until)}, now with {moved.now_key}")
        console.print(readers_table(readers))
