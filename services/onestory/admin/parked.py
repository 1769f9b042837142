"""`onestory parked`: lists parked messages; `onestory parked replay` sends them to Kafka again."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from uuid import UUID

import psycopg

from onestory.record.parking import store as parking_store
from onestory.record.parking.park import replay
from onestory.record.parking.replay import parked_state
from onestory.record.parking.store import ParkedMessage
from onestory.shared import settings
from onestory.shared.display import printable_text
from onestory.shared.errors import NotFound
from onestory.shared.kafka.consumer import check_reachable
from onestory.shared.kafka.producer import Producer
from onestory.shared.settings import Settings

_UNKNOWN = "unknown"
_TIMEOUT_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Without `replay` the command lists them."""
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    actions = parser.add_subparsers(dest="action", metavar="replay")
    replaying = actions.add_parser("replay", help="send parked messages to Kafka again, as they were")
    which = replaying.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "ids",
        nargs="*",
        type=UUID,
        default=[],
        metavar="ID",
        help="these messages, also when they were replayed before",
    )
    which.add_argument(
        "--publisher",
        metavar="ODS",
        help=f"all waiting messages of one publisher ({_UNKNOWN}: those whose publisher is not known)",
    )
    which.add_argument("--all", action="store_true", help="all waiting messages")


def run(arguments: argparse.Namespace) -> int:
    """Print or replay parked messages. Raises errors that `main` prints as one sentence, with exit code 1."""
    config = settings.read()
    with parking_store.open_connection(config.postgres) as connection:
        messages = parking_store.list_parked(connection)
        if arguments.action == "replay":
            _replay(connection, config, _select(messages, arguments))
        elif arguments.json:
            print(json.dumps([_as_json(message) for message in messages], indent=2))
        else:
            print("\n".join(_table(messages)))
    return 0


def _replay(connection: psycopg.Connection, config: Settings, messages: Sequence[ParkedMessage]) -> None:
    if not messages:
        print("No parked message waits for a replay.")
        return
    # kafka-python logs each attempt to connect. One sentence at the end is enough.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    check_reachable(config.kafka)
    sender = Producer(config.kafka, timeout_s=_TIMEOUT_S, client_id="onestory-parked", prefix=config.topic_prefix)
    with closing(sender) as producer:
        replay(connection, producer, messages)
    print(f"{len(messages)} replayed. A message that still cannot be used is parked again: see `onestory parked`.")


def _select(messages: Sequence[ParkedMessage], arguments: argparse.Namespace) -> list[ParkedMessage]:
    if arguments.ids:
        wanted = set(arguments.ids)
        if unknown := wanted - {message.parked_id for message in messages}:
            raise NotFound(
                f"No parked message has the id {', '.join(sorted(map(str, unknown)))}. Nothing was replayed."
            )
        return [message for message in messages if message.parked_id in wanted]
    waiting = [message for message in messages if message.waiting]
    return waiting if arguments.all else [message for message in waiting if _publisher(message) == arguments.publisher]


def _as_json(parked: ParkedMessage) -> dict[str, object]:
    return {
        "id": str(parked.parked_id),
        "parked_at": parked.parked_at.isoformat(),
        "publisher": parked.publisher,
        "reason": parked.reason,
        "explanation": parked.explanation,
        "topic": parked.topic,
        "partition": parked.partition,
        "offset": parked.offset,
        "state": parked_state(parked.waiting, parked.attempts),
        "attempts": parked.attempts,
        "replayed_at": parked.replayed_at and parked.replayed_at.isoformat(),
    }


_CELLS: dict[str, Callable[[ParkedMessage], str]] = {
    "id": lambda message: str(message.parked_id),
    "when": lambda message: f"{message.parked_at:%Y-%m-%d %H:%M:%SZ}",
    "publisher": lambda message: _publisher(message),
    "reason": lambda message: message.reason,
    "from": lambda message: f"{message.topic}/{message.partition}/{message.offset}",
    "state": lambda message: parked_state(message.waiting, message.attempts),
}


def _table(messages: Sequence[ParkedMessage]) -> Iterable[str]:
    if not messages:
        return ["Nothing is parked."]
    rows = [list(_CELLS), *([printable_text(cell(message)) for cell in _CELLS.values()] for message in messages)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _publisher(parked: ParkedMessage) -> str:
    return parked.publisher or _UNKNOWN
