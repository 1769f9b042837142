"""`onestory sample`: writes a synthetic care network as FHIR Bundles, one file for each source, and a manifest.

`generate` gives the same Bundles to programs. The manifest lists the people and an example of each trouble.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from onestory.sample import care_sources, practice
from onestory.sample.chance import LARGEST_POPULATION
from onestory.sample.directory import directory_submissions
from onestory.sample.network import HOSPITAL, SOURCES, SourceSystem
from onestory.sample.people import TROUBLES, Person, make_person
from onestory.sample.resources import Json, SampleSubmission, TroubleCase
from onestory.sample.story import make_story
from onestory.shared.errors import Misconfigured

MANIFEST = "manifest.json"
_LABORATORY_BATCH = 4
"""The laboratory results of so many people come in one batch."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Population, seed and target folder."""
    parser.add_argument("--people", type=int, default=20, metavar="N", help="how many people to invent (default: 20)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="S", help="the same seed gives the same bytes (default: 1)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("sample"), metavar="DIR", help="where to write (default: sample)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the network. Publish it in this order: files by name, lines from top to bottom.

    Raises `Misconfigured` for a population out of range, and for a folder that holds other files.
    """
    if not 1 <= arguments.people <= LARGEST_POPULATION:
        raise Misconfigured(f"--people must be from 1 to {LARGEST_POPULATION}.")
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    _refuse_other_files(out)
    manifest = Manifest(arguments.people, arguments.seed)
    for index in range(arguments.people):
        person = make_person(arguments.seed, index)
        manifest.add_person(person, make_story(person).care)
    _write(out, directory_submissions(), manifest, directory=True)
    _write(out, people_submissions(arguments.people, arguments.seed), manifest)
    (out / MANIFEST).write_bytes(orjson.dumps(manifest.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
    counts = manifest.as_json()["counts"]
    print(
        f"{counts['people']} people, {counts['bundles']} Bundles, {counts['entries']} entries in {out}", file=sys.stderr
    )
    return 0


def generate(people: int, seed: int) -> Iterator[tuple[SourceSystem, bytes]]:
    """Each Bundle in publishing order, with the source that publishes it; the directory comes first.

    The bytes depend on the seed alone, and a larger population contains every Bundle of a smaller one.
    Raises `ValueError` for more people than there are NHS numbers for.
    """
    for submission in itertools.chain(directory_submissions(), people_submissions(people, seed)):
        yield submission.source, submission.body


def people_submissions(people: int, seed: int) -> Iterator[SampleSubmission]:
    """The submissions of all sources about these people, person by person."""
    for index in range(people):
        yield from person_submissions(make_person(seed, index))
        if index % _LABORATORY_BATCH == _LABORATORY_BATCH - 1:
            batch = range(index - _LABORATORY_BATCH + 1, index + 1)
            yield care_sources.laboratory_results([make_person(seed, member) for member in batch])


def person_submissions(person: Person) -> Iterator[SampleSubmission]:
    """The submissions of all sources about one person, in the order in which they are published."""
    story = make_story(person)
    yield from practice.practice_submissions(person, story)
    yield from practice.former_practice_submissions(person, story)
    for kind in story.care:
        yield from _CARE[kind](person, story)
    # Last, because the community team files under the old number: a supersession must join existing statements.
    yield from practice.pds_submissions(person)
    yield from practice.later_submissions(person, story)
    if "wrong-person" in person.troubles:
        yield from practice.wrongly_filed(person, HOSPITAL)


_CARE = {
    "community": care_sources.community_submissions,
    "social-care": care_sources.social_care_submissions,
    "mental-health": care_sources.mental_health_submissions,
    "hospital": care_sources.hospital_submissions,
}


class Manifest:
    """The content of manifest.json: the people, the sources and the examples of one run.

    A demo or a test picks an interesting person from it. It is filled while the run writes.
    """

    def __init__(self, people: int, seed: int) -> None:
        self._counts = {"people": people, "bundles": 0, "entries": 0}
        self._seed = seed
        self._people: list[Json] = []
        self._cases: dict[str, list[Json]] = {trouble: [] for trouble in TROUBLES}

    def add_person(self, person: Person, kinds: tuple[str, ...]) -> None:
        """Add a person. `kinds`: the kinds of source that know the person besides practice and demographics."""
        entry = {
            "nhs_number": person.nhs_number,
            "name": person.name,
            "practice": person.practice.ods,
            "network": person.practice.network,
            "former_practice": person.former_practice.ods if person.former_practice else "",
            "born": person.born.isoformat(),
            "superseded": person.superseded,
            "known_to": ["demographics", "gp", *kinds],
            "troubles": list(person.troubles),
        }
        self._people.append(entry)

    def add(self, submission: SampleSubmission) -> None:
        """Count a written submission and keep its examples of troubles."""
        self._counts["bundles"] += 1
        self._counts["entries"] += submission.entries
        for case in submission.cases:
            self._cases[case.trouble].append(_case(case))

    def as_json(self) -> Json:
        """The manifest so far."""
        return {
            "seed": self._seed,
            "counts": self._counts,
            "troubles": {name: trouble.meaning for name, trouble in TROUBLES.items()},
            "cases": self._cases,
            "sources": [
                {
                    "ods": source.ods,
                    "system": source.system,
                    "name": source.name,
                    "kind": source.kind,
                    "network": source.network,
                }
                for source in SOURCES
            ],
            "people": self._people,
        }


def _case(case: TroubleCase) -> Json:
    return {
        "nhs_number": case.nhs_number,
        "source": case.source.ods,
        "system": case.source.system,
        "resource": case.resource,
        "note": case.note,
    }


def file_name(source: SourceSystem, *, directory: bool = False) -> str:
    """`<nn>-<ODS>.ndjson`: the directory sorts first, the demographic authority last.

    The authority comes last, so that a superseded number joins statements that are already published.
    """
    if directory:
        return "00-directory.ndjson"
    number = (SOURCES.index(source) - 1) % len(SOURCES) + 1
    return f"{number:02d}-{source.ods}.ndjson"


def _write(out: Path, submissions: Iterable[SampleSubmission], manifest: Manifest, *, directory: bool = False) -> None:
    files = {name: (out / name).open("wb") for name in _names(directory)}
    try:
        for submission in submissions:
            files[file_name(submission.source, directory=directory)].write(submission.body + b"\n")
            manifest.add(submission)
    finally:
        for file in files.values():
            file.close()


def _names(directory: bool) -> list[str]:
    return sorted({file_name(source, directory=directory) for source in SOURCES})


def _refuse_other_files(out: Path) -> None:
    """Raises `Misconfigured` when the folder holds other files: they would be published with the sample."""
    expected = {MANIFEST, *_names(directory=True), *_names(directory=False)}
    if others := sorted(path.name for path in out.iterdir() if path.name not in expected):
        raise Misconfigured(f"--out: {out} holds {others[0]}, which is no file of a sample. Give an empty folder.")
