"""`onestory record moved`: lists resources that left a person's record, and who had read them there.

A resource leaves when its source states it for another person, or when an identity link is undone. The readers must
be informed by hand.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onestory.record.parking import store as parking_store
from onestory.record.person import moved_store
from onestory.record.person.moved import LINK_UNDONE, MovedResource, ReadCount, ReaderTally, RecordReader, first_since
from onestory.shared import settings
from onestory.shared.display import printable_text
from onestory.shared.errors import Malformed, NotFound
from onestory.shared.events import AccessRecorded
from onestory.shared.fhir.dates import parse_date
from onestory.shared.identity import is_nhs_number, is_person_key
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.consumer import KafkaLog
from onestory.shared.kafka.follower import read_since
from onestory.shared.kafka.schemas import ACCESS_TOPIC
from onestory.shared.settings import Settings

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
        type=_moment,
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
        moved = moved_store.moved_resources(connection, _person(connection, arguments.person), arguments.since)
    tally = ReaderTally(moved)
    if (since := first_since(moved)) is not None:
        _count(config, tally, since)
    listed = [(resource, tally.readers(resource)) for resource in moved]
    if arguments.json:
        print(json.dumps([_as_json(resource, readers) for resource, readers in listed], indent=2))
    else:
        _print_table(listed)
    return 0


def _person(connection: psycopg.Connection, named: str | None) -> str | None:
    if named is None or is_person_key(named):
        return named
    if not is_nhs_number(named):
        raise Malformed("--person must be an NHS number with a correct check digit, or a person key.", code="value")
    person_key = moved_store.person_key_of(connection, named)
    if person_key is None:
        raise NotFound("The record has no statement of this person.")
    return person_key


def _count(config: Settings, tally: ReaderTally, since: datetime) -> None:
    # kafka-python logs each attempt to connect. One sentence at the end is enough.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    with closing(KafkaLog(config.kafka, None, [ACCESS_TOPIC], "onestory-moved", prefix=config.topic_prefix)) as log:
        if any(log.first_offsets().values()):
            print(
                "Kafka has deleted old access events. Reads before the oldest one that is left are not listed.",
                file=sys.stderr,
            )
        for arrival in read_since(log, create_codec(config.schema_registry_url), since):
            if isinstance(arrival.event, AccessRecorded):
                tally.add(arrival.event, arrival.broker_time)


def _moment(text: str) -> datetime:
    date = parse_date(text)
    if date is None:
        raise argparse.ArgumentTypeError("send a FHIR date or dateTime, such as 2026-11-22 or 2026-11-22T09:00:00Z")
    return date.begin


def _as_json(moved: MovedResource, readers: Sequence[tuple[RecordReader, ReadCount]]) -> dict[str, Any]:
    return {
        "person_key": moved.person_key,
        "now_person_key": moved.now_key,
        "resource": f"{moved.resource_type}/{moved.shared_id}",
        "source": moved.organisation,
        "why": moved.why,
        "since": moved.since.isoformat(),
        "until": moved.until.isoformat(),
        "readers": [
            {
                "organisation": reader.organisation,
                "role": reader.role,
                "purpose": reader.purpose,
                "interaction": reader.interaction,
                "times": reads.times,
                "first": reads.first.isoformat(),
                "last": reads.last.isoformat(),
                "after_it_left": reader.late,
            }
            for reader, reads in readers
        ],
    }


def _print_table(listed: Sequence[tuple[MovedResource, Sequence[tuple[RecordReader, ReadCount]]]]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    if not listed:
        console.print("No resource has left a person's record.")
    for moved, readers in listed:
        console.print(f"[bold]{moved.resource_type}/{moved.shared_id}[/] of {moved.organisation}")
        why = _WHY.get(moved.why, _STATED_FOR_ANOTHER)
        console.print(f"  {why}: {_format_time(moved.since)} to {_format_time(moved.until)}, now with {moved.now_key}")
        console.print(_table(readers) if readers else "  nobody read it here\n")


def _table(readers: Sequence[tuple[RecordReader, ReadCount]]) -> Table:
    table = Table("read by", "role", "purpose", "how", "times", "first", "last", "", box=SIMPLE_HEAD)
    for reader, reads in readers:
        table.add_row(
            # The texts are claims of tokens: rich would read markup in a plain string.
            *(Text(printable_text(each)) for each in (reader.organisation, reader.role, reader.purpose)),
            *(reader.interaction, str(reads.times)),
            *(_format_time(reads.first), _format_time(reads.last), "just after it left" if reader.late else ""),
        )
    return table


def _format_time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
