"""`onestory rebuild record`: builds the record again from Kafka, compares it with the live one, and switches."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import structlog
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from structlog.typing import EventDict, WrappedLogger

from onestory.record.projector import main as projector_main
from onestory.record.projector.prepare import TOPICS
from onestory.record.rebuild import store as rebuild_store
from onestory.record.rebuild.comparison import describe
from onestory.record.rebuild.rebuild import GenerationComparison, GenerationFollower, Rebuild
from onestory.record.rebuild.store import FORMER, LIVE, NEXT
from onestory.shared import runtime, settings
from onestory.shared.errors import Conflict
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.consumer import KafkaLog
from onestory.shared.settings import Settings

_LINE_EVERY_S = 5.0


class RebuildDisplay:
    """Shows the stage and the progress of a rebuild: a bar on a terminal, else a line every few seconds."""

    def __init__(self, console: Console) -> None:
        columns = (
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        self._console = console
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=None)
        self._stage = ""
        self._messages = 0
        self._entries = 0
        self._started_at = self._printed_at = time.monotonic()

    def stage(self, name: str, messages: int) -> None:
        """A stage begins. `messages` is how many it has to read; 0 when that is not known."""
        self._stage, self._messages = name, messages
        self._bar.reset(self._task, total=messages or None, description=name)
        if not self._console.is_terminal:
            self._line(name)

    def progress(self, left: int, entries: int) -> None:
        """Show how many messages are left, and how many entries were written in all."""
        self._entries = entries
        rate = entries / max(time.monotonic() - self._started_at, 0.001)
        words = f"{self._stage}  {left:,} messages left  {entries:,} entries  {rate:,.0f}/s"
        self._bar.update(self._task, completed=self._messages - left, description=words)
        if not self._console.is_terminal and time.monotonic() - self._printed_at > _LINE_EVERY_S:
            self._line(words)

    def show_log_event(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        """A structlog processor: shows why the projector waits, and drops every log event."""
        if event["event"] == "batch_not_written":
            words = f"{self._stage}  waiting: {event['because']}"
            self._bar.update(self._task, description=words)
            if not self._console.is_terminal:
                self._line(words)
        raise structlog.DropEvent

    def _line(self, words: str) -> None:
        self._printed_at = time.monotonic()
        self._console.print(words, markup=False, highlight=False)

    def __enter__(self) -> RebuildDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()


@contextmanager
def displayed() -> Iterator[RebuildDisplay]:
    """Show the progress on standard error, in place of the log."""
    with RebuildDisplay(Console(stderr=True)) as display:
        structlog.configure(processors=[display.show_log_event])
        yield display


_SHOWN = 50
_NAMES = {NEXT: "the half-built generation", FORMER: "the former generation"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Without options: build, compare, and switch if nothing differs."""
    parser.add_argument("service", choices=["record"], help="the service whose tables are built again")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="build and compare only; do not switch")
    how.add_argument("--accept-differences", action="store_true", help="switch although the generations differ")
    how.add_argument("--drop", action="store_true", help="only delete a half-built and a former generation")


def run(arguments: argparse.Namespace) -> int:
    """Rebuild, or drop. Raises errors that `main` prints as one sentence, with exit code 1."""
    config = settings.read()
    with rebuild_store.exclusive_connection(config.postgres) as connection:
        if arguments.drop:
            _drop(connection)
            return 0
        settings.require(config, "key_secret")
        keys = Keys(config.key_secret.encode())
        resumed = rebuild_store.prepare(connection, config.postgres)
        # Before anything is built, only the live record can show whether the key secret is right.
        projector_main.connect_projector(config.postgres, keys, LIVE).close()
        # kafka-python logs each attempt to connect.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        runtime.tune_gc()
        with displayed() as display:
            if resumed:
                display.stage("going on from where a rebuild was stopped", 0)
            _rebuild(connection, config, keys, display, arguments)
    return 0


def _rebuild(
    connection: psycopg.Connection, config: Settings, keys: Keys, display: RebuildDisplay, arguments: argparse.Namespace
) -> None:
    with closing(KafkaLog(config.kafka, None, TOPICS, "onestory-rebuild", prefix=config.topic_prefix)) as log:
        follower = GenerationFollower(config, keys, create_codec(config.schema_registry_url), log, display.progress)
        rebuild = Rebuild(connection, follower, display.stage)
        rebuild.check(log.first_offsets())
        rebuild.build()
        accepted = arguments.accept_differences
        _check(rebuild.compare(), accepted)
        if arguments.dry_run:
            _print(
                "The live record was not replaced. `onestory rebuild record` goes on from here; "
                "--drop deletes what was built."
            )
            return
        _check(rebuild.take_over(accept_differences=accepted), accepted)
        _print("Readers now see the rebuilt record. The former one is kept until --drop or the next rebuild.")


def _drop(connection: psycopg.Connection) -> None:
    existing = rebuild_store.existing_generations(connection)
    dropped = [generation for generation in (NEXT, FORMER) if generation in existing]
    for generation in dropped:
        rebuild_store.drop(connection, generation)
    _print(
        f"Dropped {' and '.join(_NAMES[generation] for generation in dropped)}."
        if dropped
        else "There is nothing to drop."
    )


def _check(compared: GenerationComparison, accepted: bool) -> None:
    """Print the differences. Raises `Conflict` unless they are accepted."""
    if not compared.total:
        return
    differing = describe(compared.shown)
    table = Table("subject", "difference", box=SIMPLE_HEAD)
    for subject, parts in list(differing.items())[:_SHOWN]:
        table.add_row(subject, "\n".join(parts))
    console = Console()
    console.print(table)
    if len(differing) > _SHOWN or compared.total > len(compared.shown):
        console.print(f"... and more: {compared.total} differences in all.", highlight=False)
    if not accepted:
        raise Conflict(
            f"The rebuilt record differs in {compared.total} places, so the live record was not replaced. "
            "Find out why. Then run again with --accept-differences to switch, or with --drop to delete what was built."
        )


def _print(words: str) -> None:
    Console().print(words, highlight=False, markup=False, soft_wrap=True)
