"""The command `onestory publish`: publishes FHIR files. The same command resumes an interrupted run."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

from onestory.client import files
from onestory.client.groups import group_files, read_groups
from onestory.client.publisher import Backoff
from onestory.client.report import Journal, RefusalReport, RunTotals, progress_display, show_progress
from onestory.client.run import PublishRun, Stop
from onestory.client.target import SourcePublishers, find_target

DEFAULT_REPORT = Path("publish-refusals.ndjson")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="files, folders or patterns: .json, .ndjson (also .gz), .tar.xz, .tar.gz",
    )
    parser.add_argument(
        "--org",
        default="",
        metavar="ODS",
        help="ODS code of the source organisation (default: from the token, else from each item's tag)",
    )
    parser.add_argument(
        "--system",
        default="",
        metavar="NAME",
        help="name of the source system (default: from each item's tag, else from the token)",
    )
    parser.add_argument("--base-url", metavar="URL", help="default: ONESTORY_BASE_URL, else the embedded stack")
    parser.add_argument(
        "--token", metavar="T", help="default: ONESTORY_TOKEN, else a token of the embedded stack for each organisation"
    )
    parser.add_argument(
        "--connections", type=_positive, default=4, metavar="N", help="requests at the same time (default: 4)"
    )
    parser.add_argument(
        "--report",
        type=Path,
        default=DEFAULT_REPORT,
        metavar="FILE",
        help=f"report of the refusals, as NDJSON (default: {DEFAULT_REPORT})",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="publish everything again, also the items that an interrupted run has published",
    )


def run(args: argparse.Namespace, transport: httpx.AsyncBaseTransport | None = None) -> int:
    """Publish the files. Return 0 when all was accepted, 1 when something was refused, 130 when interrupted.

    Raises a `OneStoryError` when the run cannot begin or continue. `transport` replaces the network in tests.
    """
    report: Path = args.report
    paths = [path for path in files.find_files(args.paths) if path.resolve() != report.resolve()]
    target = find_target(args.base_url, args.token)
    source = target.source(args.org, args.system)
    with Journal(target.journal(paths, source), fresh=args.fresh) as journal, RefusalReport(report) as refusals:
        if journal.published:
            print(
                f"{journal.published:,} items were published by an interrupted run and are skipped "
                "(--fresh publishes them again)."
            )
        stop, totals = Stop(), RunTotals()
        backoff = Backoff(sleep=stop.sleep)
        publishers = SourcePublishers(target, backoff, args.connections, transport)
        publishing = PublishRun(publishers, journal, refusals, totals, stop, source)
        # A second Ctrl-C cancels the run.
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(_publish(paths, publishing, publishers, backoff, args.connections))
        return _conclude(publishing)


async def _publish(
    paths: Sequence[Path], run: PublishRun, publishers: SourcePublishers, backoff: Backoff, width: int
) -> None:
    display = progress_display(sys.stderr, sum(path.stat().st_size for path in paths))
    async with publishers.client, show_progress(display, run.totals, lambda: backoff.waiting_for):
        with run.stop.on_signals():
            grouped = await asyncio.to_thread(group_files, paths)
            await run.publish(read_groups(grouped, run.totals.add_bytes), width)


def _conclude(run: PublishRun) -> int:
    report, totals = run.report, run.totals
    for line in report.first:
        print(line)
    if report.refusals:
        more = report.refusals - len(report.first)
        print(f"{f'... and {more:,} more. ' if more else ''}All refusals with their reasons: {report.path}")
    if together := totals.groups_text():
        print(together)
    print(totals.summary())
    if run.stop:
        print("The run is not finished. The same command resumes it.")
    else:
        run.journal.finish()
    if run.failure is not None:
        raise run.failure
    return 130 if run.stop.interrupted else int(totals.refused > 0)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number
