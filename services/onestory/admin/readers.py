"""Reads and prints who read resources of a person's record, from the access events in Kafka."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from onestory.record.person import moved_store
from onestory.record.person.moved import MovedResource, ReadCount, ReaderTally, RecordReader, first_since
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

Readers = Sequence[tuple[RecordReader, ReadCount]]


def tally_readers(config: Settings, resources: Sequence[MovedResource]) -> ReaderTally:
    """Return who read these resources where they were."""
    tally = ReaderTally(resources)
    if (since := first_since(resources)) is not None:
        _count(config, tally, since)
    return tally


def _count(config: Settings, tally: ReaderTally, since: datetime) -> None:
    # kafka-python logs each attempt to connect. One sentence at the end is enough.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    with closing(KafkaLog(config.kafka, None, [ACCESS_TOPIC], "onestory-readers", prefix=config.topic_prefix)) as log:
        if any(log.first_offsets().values()):
            print(
                "Kafka has deleted old access events. Reads before the oldest one that is left are not listed.",
                file=sys.stderr,
            )
        for arrival in read_since(log, create_codec(config.schema_registry_url), since):
            if isinstance(arrival.event, AccessRecorded):
                tally.add(arrival.event, arrival.broker_time)


def find_person_key(connection: psycopg.Connection, named: str | None) -> str | None:
    """Return the person key of an NHS number or of a person key; None for None. Raises `Malformed` or `NotFound`."""
    if named is None or is_person_key(named):
        return named
    if not is_nhs_number(named):
        raise Malformed("--person must be an NHS number with a correct check digit, or a person key.", code="value")
    person_key = moved_store.person_key_of(connection, named)
    if person_key is None:
        raise NotFound("The record has no statement of this person.")
    return person_key


def parse_moment(text: str) -> datetime:
    """Return the beginning of a FHIR date or dateTime. Raises `argparse.ArgumentTypeError`."""
    date = parse_date(text)
    if date is None:
        raise argparse.ArgumentTypeError("send a FHIR date or dateTime, such as 2026-11-22 or 2026-11-22T09:00:00Z")
    return date.begin


def readers_as_json(readers: Readers) -> list[dict[str, Any]]:
    """Return the readers as JSON objects."""
    return [
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
    ]


def readers_table(readers: Readers) -> Table | str:
    """Return the readers as a table, or a sentence when there are none."""
    if not readers:
        return "  nobody read it here\n"
    table = Table("read by", "role", "purpose", "how", "times", "first", "last", "", box=SIMPLE_HEAD)
    for reader, reads in readers:
        table.add_row(
            # The texts are claims of tokens: rich would read markup in a plain string.
            *(Text(printable_text(each)) for each in (reader.organisation, reader.role, reader.purpose)),
            *(reader.interaction, str(reads.times)),
            *(format_time(reads.first), format_time(reads.last), "just after it left" if reader.late else ""),
        )
    return table


def format_time(moment: datetime) -> str:
    """Return a time in UTC for people."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
