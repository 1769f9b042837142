"""`onestory sample`: write a synthetic care network as FHIR Bundles, one file for each source, and a manifest."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from onestory.sample import community, directory, hospital, practice
from onestory.sample.chance import LARGEST_POPULATION
from onestory.sample.difficulties import later_submissions, wrongly_filed
from onestory.sample.network import HOSPITAL, SOURCES, SourceSystem
from onestory.sample.people import TROUBLES, Person, person
from onestory.sample.resources import Case, Json, PublishedBundle
from onestory.sample.story import story
from onestory.shared.errors import Misconfigured

# The whole synthetic care network, one published Bundle after the other.

_NIGHT = 4
"""People whose laboratory results come in one batch."""


def generate(people: int, seed: int) -> Iterator[tuple[SourceSystem, bytes]]:
    """The Bundles of `people` people in publishing order, the directory first, each with the source that publishes it.

    The bytes depend on the seed alone, and a larger population contains every Bundle of a smaller one.
    Raises `ValueError` for more people than there are NHS numbers for.
    """
    for submission in itertools.chain(directory_of(), submissions(people, seed)):
        yield submission.source, submission.body


def directory_of() -> Iterator[PublishedBundle]:
    """What the organisations say of themselves; about no person, and to be published first."""
    return directory.directory_submissions()


def submissions(people: int, seed: int) -> Iterator[PublishedBundle]:
    """What all sources say of these people, person by person."""
    for index in range(people):
        yield from of_person(person(seed, index))
        if index % _NIGHT == _NIGHT - 1:
            yield hospital.results([person(seed, each) for each in range(index - _NIGHT + 1, index + 1)])


def of_person(who: Person) -> Iterator[PublishedBundle]:
    """What each source says of one person, in the order in which that source publishes it."""
    told = story(who)
    yield from practice.practice_submissions(who, told)
    yield from practice.former_practice_submissions(who, told)
    for kind in told.care:
        yield from _CARE[kind](who, told)
    # After the community team has filed under the old number: a supersession must join what is already there.
    yield from practice.pds_submissions(who)
    yield from later_submissions(who, told)
    if "wrong-person" in who.troubles:
        yield from wrongly_filed(who, HOSPITAL)


_CARE = {
    "community": community.community_submissions,
    "social-care": community.social_care_submissions,
    "mental-health": community.mental_health_submissions,
    "hospital": hospital.hospital_submissions,
}


# What a run wrote: enough for a demo or a test to pick an interesting person.


class Manifest:
    """Collects while the run writes; `as_json` is the content of manifest.json."""

    def __init__(self, people: int, seed: int) -> None:
        self._counts = {"people": people, "bundles": 0, "entries": 0}
        self._seed = seed
        self._people: list[Json] = []
        self._cases: dict[str, list[Json]] = {trouble: [] for trouble in TROUBLES}

    def add_person(self, who: Person, kinds: tuple[str, ...]) -> None:
        entry = {
            "nhs_number": who.nhs_number,
            "name": who.name,
            "practice": who.practice.ods,
            "network": who.practice.network,
            "former_practice": who.former_practice.ods if who.former_practice else "",
            "born": who.born.isoformat(),
            "superseded": who.superseded,
            "known_to": ["demographics", "gp", *kinds],
            "troubles": list(who.troubles),
        }
        self._people.append(entry)

    def add(self, submission: PublishedBundle) -> None:
        self._counts["bundles"] += 1
        self._counts["entries"] += submission.entries
        for case in submission.cases:
            self._cases[case.trouble].append(_case(case))

    def as_json(self) -> Json:
        return {
            "seed": self._seed,
            "counts": self._counts,
            "troubles": {name: trouble.meaning for name, trouble in TROUBLES.items()},
            "cases": self._cases,
            "sources": [
                {"ods": each.ods, "system": each.system, "name": each.name, "kind": each.kind, "network": each.network}
                for each in SOURCES
            ],
            "people": self._people,
        }


def _case(case: Case) -> Json:
    return {
        "nhs_number": case.nhs_number,
        "source": case.source.ods,
        "system": case.source.system,
        "resource": case.resource,
        "note": case.note,
    }


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


def file_name(source: SourceSystem, *, directory: bool = False) -> str:
    """`<nn>-<ODS>.ndjson`; the directory sorts before everyone, and the demographic authority last.

    The authority comes last, so that a superseded number joins histories that are already there.
    """
    if directory:
        return "00-directory.ndjson"
    place = (SOURCES.index(source) - 1) % len(SOURCES) + 1
    return f"{place:02d}-{source.ods}.ndjson"


def _write(out: Path, published: Iterable[PublishedBundle], manifest: Manifest, *, directory: bool = False) -> None:
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
