"""`onestory parked`: what could not be used, and `onestory parked replay`, which gives it another try."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from uuid import UUID

import psycopg

from onestory.local.state import deployment
from onestory.record.domain.replay import state
from onestory.record.replay import replay
from onestory.record.store import replays
from onestory.record.store.replays import Listed
from onestory.shared import settings
from onestory.shared.consumer.kafka_log import reach
from onestory.shared.errors import NotFound
from onestory.shared.producer import Producer
from onestory.shared.settings import Settings

_UNKNOWN = "unknown"
_TIMEOUT_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Without `replay` they are listed."""
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    actions = parser.add_subparsers(dest="action", metavar="replay")
    replaying = actions.add_parser("replay", help="send parked messages to Kafka again, as they were")
    which = replaying.add_mutually_exclusive_group(required=True)
    which.add_argument("ids", nargs="*", type=UUID, default=[], metavar="ID", help="these, also if replayed before")
    which.add_argument(
        "--publisher", metavar="ODS", help=f"all of one publisher that wait ({_UNKNOWN}: of nobody known)"
    )
    which.add_argument("--all", action="store_true", help="all that wait")


def run(arguments: argparse.Namespace) -> int:
    """Print or replay them. Raises what `main` turns into one sentence and exit code 1."""
    config = deployment(settings.read())
    with replays.opened(config.postgres) as connection:
        parked = replays.listed(connection)
        if arguments.action == "replay":
            _replay(connection, config, _chosen(parked, arguments))
        elif arguments.json:
            print(json.dumps([_described(each) for each in parked], indent=2))
        else:
            print("\n".join(_table(parked)))
    return 0


def _replay(connection: psycopg.Connection, config: Settings, chosen: Sequence[Listed]) -> None:
    if not chosen:
        print("Nothing waits to be replayed.")
        return
    # The client tells of each attempt to connect; one sentence at the end says enough.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    reach(config.kafka)
    parking = Producer(config.kafka, timeout_s=_TIMEOUT_S, client_id="onestory-parked", prefix=config.topic_prefix)
    with closing(parking) as producer:
        replay(connection, producer, chosen)
    print(f"{len(chosen)} replayed. What is still of no use will be parked again: see `onestory parked`.")


def _chosen(parked: Sequence[Listed], arguments: argparse.Namespace) -> list[Listed]:
    if arguments.ids:
        wanted = set(arguments.ids)
        if unknown := wanted - {each.parked_id for each in parked}:
            raise NotFound(f"Nothing is parked under {', '.join(sorted(map(str, unknown)))}. Nothing was replayed.")
        return [each for each in parked if each.parked_id in wanted]
    waiting = [each for each in parked if each.waiting]
    return waiting if arguments.all else [each for each in waiting if _publisher(each) == arguments.publisher]


def _described(parked: Listed) -> dict[str, object]:
    return {
        "id": str(parked.parked_id),
        "parked_at": parked.parked_at.isoformat(),
        "publisher": parked.publisher,
        "reason": parked.reason,
        "explanation": parked.explanation,
        "topic": parked.topic,
        "partition": parked.partition,
        "offset": parked.offset,
        "state": state(parked.waiting, parked.attempts),
        "attempts": parked.attempts,
        "replayed_at": parked.replayed_at and parked.replayed_at.isoformat(),
    }


_CELLS: dict[str, Callable[[Listed], str]] = {
    "id": lambda each: str(each.parked_id),
    "when": lambda each: f"{each.parked_at:%Y-%m-%d %H:%M:%SZ}",
    "publisher": lambda each: _publisher(each),
    "reason": lambda each: each.reason,
    "from": lambda each: f"{each.topic}/{each.partition}/{each.offset}",
    "state": lambda each: state(each.waiting, each.attempts),
}


def _table(parked: Sequence[Listed]) -> Iterable[str]:
    if not parked:
        return ["Nothing is parked."]
    rows = [list(_CELLS), *([cell(each) for cell in _CELLS.values()] for each in parked)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _publisher(parked: Listed) -> str:
    return parked.publisher or _UNKNOWN
