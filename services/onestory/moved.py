"""`onestory record moved`: what left a person, and who read it there meanwhile, so that they can be told."""

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

from onestory.local.state import deployment
from onestory.record.domain.moved import ALIAS_UNDONE, Left, Reader, Reads, Tally, begin
from onestory.record.store import moved, replays
from onestory.shared import settings
from onestory.shared.consumer.kafka_log import KafkaLog
from onestory.shared.consumer.stretch import arrivals_since
from onestory.shared.contracts.codec import codec
from onestory.shared.contracts.topics import ACCESS
from onestory.shared.errors import Malformed, NotFound
from onestory.shared.events import AccessRecorded
from onestory.shared.identity import is_nhs_number, is_person_key
from onestory.shared.settings import Settings

_WHY = {ALIAS_UNDONE: "read here by an alias that was undone"}
_SAID_OF_ANOTHER = "said of another person since"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`moved` is what there is to ask."""
    actions = parser.add_subparsers(dest="action", metavar="moved", required=True)
    listing = actions.add_parser("moved", help="list what left a person, and who read it there meanwhile")
    listing.add_argument("--since", type=_moment, metavar="TIME", help="what left at this time or later (ISO 8601)")
    listing.add_argument("--person", metavar="NHS|KEY", help="what left this person: an NHS number or a person key")
    listing.add_argument("--json", action="store_true", help="print a JSON list")


def run(arguments: argparse.Namespace) -> int:
    """Print it. Raises what `main` turns into one sentence and exit code 1."""
    config = deployment(settings.read())
    with replays.opened(config.postgres) as connection:
        left = moved.left(connection, _person(connection, arguments.person), arguments.since)
    tally = Tally(left)
    if (since := begin(left)) is not None:
        _count(config, tally, since)
    told = [(each, tally.readers(each)) for each in left]
    if arguments.json:
        print(json.dumps([_described(each, readers) for each, readers in told], indent=2))
    else:
        _print_table(told)
    return 0


def _person(connection: psycopg.Connection, named: str | None) -> str | None:
    if named is None or is_person_key(named):
        return named
    if not is_nhs_number(named):
        raise Malformed("--person is an NHS number with a right check digit, or a person key.", code="value")
    person_key = moved.person_key_of(connection, named)
    if person_key is None:
        raise NotFound("Nobody has spoken of this person.")
    return person_key


def _count(config: Settings, tally: Tally, since: datetime) -> None:
    # The client tells of each attempt to connect; one sentence at the end says enough.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    with closing(KafkaLog(config.kafka, None, [ACCESS], "onestory-moved", prefix=config.topic_prefix)) as log:
        if any(log.first().values()):
            print("Kafka has deleted old access events: reads from before them are not listed.", file=sys.stderr)
        for arrival in arrivals_since(log, codec(config.schema_registry_url), since):
            if isinstance(arrival.event, AccessRecorded):
                tally.add(arrival.event, arrival.broker_time)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _described(left: Left, readers: Sequence[tuple[Reader, Reads]]) -> dict[str, Any]:
    return {
        "person_key": left.person_key,
        "now_person_key": left.now_key,
        "resource": f"{left.resource_type}/{left.shared_id}",
        "source": left.organisation,
        "why": left.why,
        "since": left.since.isoformat(),
        "until": left.until.isoformat(),
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


def _print_table(told: Sequence[tuple[Left, Sequence[tuple[Reader, Reads]]]]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    if not told:
        console.print("Nothing has left a person.")
    for left, readers in told:
        console.print(f"[bold]{left.resource_type}/{left.shared_id}[/] of {left.organisation}")
        why = _WHY.get(left.why, _SAID_OF_ANOTHER)
        console.print(f"  {why}: {_shown(left.since)} to {_shown(left.until)}, now with {left.now_key}")
        console.print(_table(readers) if readers else "  nobody read it here\n")


def _table(readers: Sequence[tuple[Reader, Reads]]) -> Table:
    table = Table("read by", "role", "purpose", "how", "times", "first", "last", "", box=SIMPLE_HEAD)
    for reader, reads in readers:
        table.add_row(
            *(reader.organisation, reader.role, reader.purpose, reader.interaction, str(reads.times)),
            *(_shown(reads.first), _shown(reads.last), "just after it left" if reader.late else ""),
        )
    return table


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
