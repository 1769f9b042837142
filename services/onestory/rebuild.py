"""`onestory rebuild record`: the record built anew from Kafka, compared with the live one, and put into its place."""

from __future__ import annotations

import argparse
import logging
from contextlib import closing

import psycopg
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from onestory.local import environment
from onestory.record.domain.check import TOPICS
from onestory.record.domain.difference import described
from onestory.record.rebuild.display import Display, displayed
from onestory.record.rebuild.following import Following
from onestory.record.rebuild.rebuild import Compared, Rebuild
from onestory.record.store import connection, generations
from onestory.record.store.generations import FORMER, LIVE, NEXT
from onestory.shared import memory, settings
from onestory.shared.consumer.kafka_log import KafkaLog
from onestory.shared.contracts.codec import codec
from onestory.shared.errors import Conflict
from onestory.shared.identity import Keys
from onestory.shared.settings import Settings

_SHOWN = 50
_NAMES = {NEXT: "the half-built generation", FORMER: "the generation that was read before"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Without options: build, compare, and take over if nothing differs."""
    parser.add_argument("room", choices=["record"], help="the room whose tables are built anew")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="build and compare only; the live record stays")
    how.add_argument("--accept-differences", action="store_true", help="take over although something differs")
    how.add_argument(
        "--drop", action="store_true", help="forget a half-built and a former generation, and nothing else"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 when it did what was asked. Raises what `main` turns into one sentence and exit code 1."""
    config = environment.command()
    with generations.alone(config.postgres) as alone:
        if arguments.drop:
            _drop(alone)
            return 0
        settings.require(config, "key_secret")
        keys = Keys(config.key_secret.encode())
        goes_on = generations.prepare(alone, config.postgres)
        # Where nothing is built yet, only the live record can tell whether the key secret is the right one.
        connection.connect(config.postgres, keys, LIVE).close()
        # kafka-python tells of each attempt to connect.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        memory.settle()
        with displayed() as display:
            if goes_on:
                display.stage("going on from where a rebuild was stopped", 0)
            _rebuild(alone, config, keys, display, arguments)
    return 0


def _rebuild(
    alone: psycopg.Connection, config: Settings, keys: Keys, display: Display, arguments: argparse.Namespace
) -> None:
    with closing(KafkaLog(config.kafka, None, TOPICS, "onestory-rebuild", prefix=config.topic_prefix)) as log:
        following = Following(config, keys, codec(config.schema_registry_url), log, display.progress)
        rebuild = Rebuild(alone, following, display.stage)
        rebuild.check(log.first())
        rebuild.build()
        accepted = arguments.accept_differences
        _tell(rebuild.compare(), accepted)
        if arguments.dry_run:
            _say("Nothing was replaced. `onestory rebuild record` goes on from here; --drop forgets what was built.")
            return
        _tell(rebuild.take_over(accept_differences=accepted), accepted)
        _say("The rebuilt record is the one that is read now. The one before is kept until --drop or the next rebuild.")


def _drop(alone: psycopg.Connection) -> None:
    found = [each for each in (NEXT, FORMER) if each in generations.there(alone)]
    for generation in found:
        generations.drop(alone, generation)
    _say(f"Dropped {' and '.join(_NAMES[each] for each in found)}." if found else "There is nothing to drop.")


def _tell(compared: Compared, accepted: bool) -> None:
    """Print what differs. Raises `Conflict` unless that is accepted."""
    if not compared.in_all:
        return
    differing = described(compared.shown)
    table = Table("of", "what differs", box=SIMPLE_HEAD)
    for subject, parts in list(differing.items())[:_SHOWN]:
        table.add_row(subject, "\n".join(parts))
    console = Console()
    console.print(table)
    more = max(0, len(differing) - _SHOWN)
    if more or compared.in_all > len(compared.shown):
        console.print(f"... and more: {compared.in_all} differences in all.", highlight=False)
    if not accepted:
        raise Conflict(
            f"The rebuilt record differs in {compared.in_all} places, and the record was not replaced. Find out why; "
            "--accept-differences takes it as it is, --drop forgets it."
        )


def _say(words: str) -> None:
    Console().print(words, highlight=False, markup=False, soft_wrap=True)
