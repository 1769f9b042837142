"""One person's facts and summary, computed without Kafka and PostgreSQL, for people with more and more entries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from tests.bench.figures import Figure
from tests.heard import NOW, Person, network
from tests.stack import Services

from onestory.record.merge.engine import merge
from onestory.record.merge.rules import merge_rules
from onestory.record.merge.view import merged_view
from onestory.record.summary.document import summarise
from onestory.record.summary.page import summary_page
from onestory.shared.fhir.definitions import is_about_a_person

_ENTRIES = (50, 200, 2000)
_FOR_S = 2.0
_decoder = msgspec.json.Decoder(dict[str, Any])


async def run(_services: Services) -> list[Figure]:
    """Measure persons per second of CPU. The raw limit is reading the JSON of their entries."""
    return [figure for person in _persons() for figure in _measured(person)]


def _persons() -> Iterator[Person]:
    """Yield persons with set numbers of entries, taken from statements of the synthetic network."""
    every = [each for person in network(40) for each in person.standing if is_about_a_person(each.resource_type)]
    for entries in _ENTRIES:
        yield Person("9990000018", tuple(every[:entries]))


def _measured(person: Person) -> Iterator[Figure]:
    contents = [each.content for each in person.standing if each.content]
    said, known, rules = person.said(), person.known(), merge_rules()
    document = summarise(known, NOW).document
    raw = _per_second(lambda: [_decoder.decode(content) for content in contents])
    made: dict[str, Callable[[], Any]] = {
        "merge": lambda: merge(said, rules),
        "$merged": lambda: merged_view(known.merged, known.contents),
        "summary": lambda: summarise(known, NOW),
        "page": lambda: summary_page(document),
    }
    for what, make in made.items():
        rate = _per_second(make)
        named = f"{what} of {len(contents)} entries ({1000 / rate:.1f} ms)"
        yield Figure("person", named, rate, "persons/s", raw, "reading the JSON of the entries")


def _per_second(make: Callable[[], Any]) -> float:
    make()
    started, times = time.process_time(), 0
    while time.process_time() - started < _FOR_S:
        make()
        times += 1
    return times / (time.process_time() - started)
