"""`onestory rebuild record`: the record built anew from Kafka, compared with the live one, and put into its place."""

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

from onestory.local import up
from onestory.record.projector import main as projector_main
from onestory.record.projector.prepare import TOPICS
from onestory.record.rebuild import store as rebuild_store
from onestory.record.rebuild.comparison import described
from onestory.record.rebuild.rebuild import Compared, GenerationFollower, Rebuild
from onestory.record.rebuild.store import FORMER, LIVE, NEXT
from onestory.shared import runtime, settings
from onestory.shared.errors import Conflict
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import codec
from onestory.shared.kafka.consumer import KafkaLog
from onestory.shared.settings import Settings

# What an operator sees of a rebuild while it runs: a bar on a terminal, else a line now and then.

_LINE_EVERY_S = 5.0


class RebuildDisplay:
    """Shows the stage that a rebuild is in, and how far it is."""

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
        self._what = ""
        self._messages = 0
        self._entries = 0
        self._began = self._said = time.monotonic()

    def stage(self, what: str, messages: int) -> None:
        """Something begins that has to read so many messages."""
        self._what, self._messages = what, messages
        self._bar.reset(self._task, total=messages or None, description=what)
        if not self._console.is_terminal:
            self._line(what)

    def progress(self, left: int, entries: int) -> None:
        """So many messages are left; so many entries were written in all."""
        self._entries = entries
        rate = entries / max(time.monotonic() - self._began, 0.001)
        words = f"{self._what}  {left:,} messages left  {entries:,} entries  {rate:,.0f}/s"
        self._bar.update(self._task, completed=self._messages - left, description=words)
        if not self._console.is_terminal and time.monotonic() - self._said > _LINE_EVERY_S:
            self._line(words)

    def heard(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        """For structlog: why the projector waits is shown; the rest it has told before, when it was the live one."""
        if event["event"] == "batch_not_written":
            words = f"{self._what}  waiting: {event['because']}"
            self._bar.update(self._task, description=words)
            if not self._console.is_terminal:
                self._line(words)
        raise structlog.DropEvent

    def _line(self, words: str) -> None:
        self._said = time.monotonic()
        self._console.print(words, markup=False, highlight=False)

    def __enter__(self) -> RebuildDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()


@contextmanager
def displayed() -> Iterator[RebuildDisplay]:
    """On standard error, in place of the log."""
    with RebuildDisplay(Console(stderr=True)) as display:
        structlog.configure(processors=[display.heard])
        yield display


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
    config = up.command()
    with rebuild_store.alone(config.postgres) as alone:
        if arguments.drop:
            _drop(alone)
            return 0
        settings.require(config, "key_secret")
        keys = Keys(config.key_secret.encode())
        goes_on = rebuild_store.prepare(alone, config.postgres)
        # Where nothing is built yet, only the live record can tell whether the key secret is the right one.
        projector_main.connect_projector(config.postgres, keys, LIVE).close()
        # kafka-python tells of each attempt to connect.
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        runtime.tune_gc()
        with displayed() as display:
            if goes_on:
                display.stage("going on from where a rebuild was stopped", 0)
            _rebuild(alone, config, keys, display, arguments)
    return 0


def _rebuild(
    alone: psycopg.Connection, config: Settings, keys: Keys, display: RebuildDisplay, arguments: argparse.Namespace
) -> None:
    with closing(KafkaLog(config.kafka, None, TOPICS, "onestory-rebuild")) as log:
        following = GenerationFollower(config, keys, codec(config.schema_registry_url), log, display.progress)
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
    found = [each for each in (NEXT, FORMER) if each in rebuild_store.there(alone)]
    for generation in found:
        rebuild_store.drop(alone, generation)
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
