"""`onestory sample`: write a synthetic care network as FHIR Bundles, one file for each source, and a manifest."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import orjson

from onestory.sample.bundles import Submission
from onestory.sample.generate import directory_of, submissions
from onestory.sample.manifest import Manifest
from onestory.sample.network import SOURCES, Source
from onestory.sample.nhs_numbers import LARGEST_POPULATION
from onestory.sample.people import person
from onestory.sample.story import story
from onestory.shared.errors import Misconfigured

MANIFEST = "manifest.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--people", type=int, default=20, metavar="N", help="how many people to invent (default: 20)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="S", help="the same seed gives the same bytes (default: 1)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("sample"), metavar="DIR", help="where to write (default: sample)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the network. Its order of publishing is files by name, and lines from top to bottom."""
    if not 1 <= arguments.people <= LARGEST_POPULATION:
        raise Misconfigured(f"--people must be from 1 to {LARGEST_POPULATION}.")
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    _refuse_strangers(out)
    manifest = Manifest(arguments.people, arguments.seed)
    for index in range(arguments.people):
        who = person(arguments.seed, index)
        manifest.add_person(who, story(who).care)
    _write(out, directory_of(), manifest, directory=True)
    _write(out, submissions(arguments.people, arguments.seed), manifest)
    (out / MANIFEST).write_bytes(orjson.dumps(manifest.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
    counts = manifest.as_json()["counts"]
    print(
        f"{counts['people']} people, {counts['bundles']} Bundles, {counts['entries']} entries in {out}", file=sys.stderr
    )
    return 0


def file_name(source: Source, *, directory: bool = False) -> str:
    """`<nn>-<ODS>.ndjson`; the directory sorts before everyone, and the demographic authority last.

    The authority comes last, so that a superseded number joins histories that are already there.
    """
    if directory:
        return "00-directory.ndjson"
    place = (SOURCES.index(source) - 1) % len(SOURCES) + 1
    return f"{place:02d}-{source.ods}.ndjson"


def _write(out: Path, published: Iterable[Submission], manifest: Manifest, *, directory: bool = False) -> None:
    files = {name: (out / name).open("wb") for name in _names(directory)}
    try:
        for submission in published:
            files[file_name(submission.source, directory=directory)].write(submission.body + b"\n")
            manifest.add(submission)
    finally:
        for file in files.values():
            file.close()


def _names(directory: bool) -> list[str]:
    return sorted({file_name(source, directory=directory) for source in SOURCES})


def _refuse_strangers(out: Path) -> None:
    """A folder that holds other files is not ours to fill: its files would be published with ours."""
    ours = {MANIFEST, *_names(directory=True), *_names(directory=False)}
    if strangers := sorted(path.name for path in out.iterdir() if path.name not in ours):
        raise Misconfigured(f"{out} holds {strangers[0]}, which is not of a sample; give an empty folder with --out.")
