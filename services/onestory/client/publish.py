"""`onestory publish`: publish FHIR files, and be able to go on where an interrupted run stopped."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

from onestory.client import files
from onestory.client.files import read_files
from onestory.client.publisher import Backoff
from onestory.client.report import Journal, RefusalReport, RunTotals, display, following
from onestory.client.run import Run, Stop
from onestory.client.target import Publishers, find_target

REPORT = Path("publish-refusals.ndjson")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="files, folders or patterns: .json, .ndjson (also .gz), .tar.xz, .tar.gz",
    )
    parser.add_argument(
        "--org", default="", metavar="ODS", help="source organisation (default: the token's, else each item's tag)"
    )
    parser.add_argument(
        "--system", default="", metavar="NAME", help="source system (default: each item's tag, else the token's)"
    )
    parser.add_argument("--base-url", metavar="URL", help="default: ONESTORY_BASE_URL, else the embedded stack")
    parser.add_argument(
        "--token", metavar="T", help="default: ONESTORY_TOKEN, else one for each organisation from the stack"
    )
    parser.add_argument(
        "--connections", type=_positive, default=4, metavar="N", help="requests side by side (default: 4)"
    )
    parser.add_argument(
        "--report", type=Path, default=REPORT, metavar="FILE", help=f"refusals, as NDJSON (default: {REPORT})"
    )
    parser.add_argument("--fresh", action="store_true", help="begin again, whatever an interrupted run has published")


def run(args: argparse.Namespace, transport: httpx.AsyncBaseTransport | None = None) -> int:
    """0 when everything was taken, 1 when something was refused, 130 when interrupted.

    Raises a `OneStoryError` when the run could not begin or go on. `transport` stands in for the network.
    """
    report: Path = args.report
    paths = [path for path in files.find(args.paths) if path.resolve() != report.resolve()]
    target = find_target(args.base_url, args.token)
    source = target.source(args.org, args.system)
    with Journal(target.journal(paths, source), fresh=args.fresh) as journal, RefusalReport(report) as refusals:
        if journal.published:
            print(f"{journal.published:,} items were published by an interrupted run; going on (--fresh begins again).")
        stop, tally = Stop(), RunTotals()
        patience = Backoff(sleep=stop.sleep)
        publishers = Publishers(target, patience, args.connections, transport)
        publishing = Run(publishers, journal, refusals, tally, stop, source)
        # Cancelled by a second Ctrl-C.
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(_publish(paths, publishing, publishers, patience, args.connections))
        return _conclude(publishing)


async def _publish(paths: Sequence[Path], run: Run, publishers: Publishers, patience: Backoff, width: int) -> None:
    shown = display(sys.stderr, sum(path.stat().st_size for path in paths))
    async with publishers.client, following(shown, run.tally, lambda: patience.waiting_for):
        with run.stop.on_signals():
            await run.publish(read_files(paths, run.tally.read), width)


def _conclude(run: Run) -> int:
    report, tally = run.report, run.tally
    for words in report.first:
        print(words)
    if report.refusals:
        more = report.refusals - len(report.first)
        print(f"{f'... and {more:,} more. ' if more else ''}All refusals, with reasons: {report.path}")
    print(tally.summary())
    if run.stop:
        print("Not finished. The same command goes on from here.")
    else:
        run.journal.finish()
    if run.failure is not None:
        raise run.failure
    return 130 if run.stop.interrupted else int(tally.refused > 0)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number
