"""One person's facts and summary, computed without Kafka and PostgreSQL, for people with more and more entries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any, TypeVar

import msgspec
from tests.bench.figures import Figure
from tests.heard import NOW, Person, network
from tests.stack import Services

from onestory.record.merge.engine import merge
from onestory.record.merge.rules import merge_rules
from onestory.record.merge.view import merged_view
from onestory.record.projector.rows import StatementRow
from onestory.record.summary.document import summarise
from onestory.record.summary.model import Summary
from onestory.record.summary.page import summary_page
from onestory.shared.fhir.definitions import is_about_a_person

_ENTRIES = (50, 200, 2000)
_FOR_S = 2.0
_PEOPLE = 400
Prepared = TypeVar("Prepared")
_decoder = msgspec.json.Decoder(dict[str, Any])


async def run(_services: Services) -> list[Figure]:
    """Measure persons per second of CPU. The raw limit is reading the JSON of their entries."""
    every = [each for person in network(_PEOPLE) for each in person.standing if is_about_a_person(each.resource_type)]
    return [figure for entries in _ENTRIES for figure in _measured(entries, list(_persons(every, entries)))]


def _persons(every: Sequence[StatementRow], entries: int) -> Iterator[Person]:
    """Yield different persons with so many entries, made from statements of the synthetic network."""
    for first in range(0, len(every) - entries, entries):
        yield Person("9990000018", tuple(every[first : first + entries]))


def _measured(entries: int, persons: Sequence[Person]) -> Iterator[Figure]:
    rules = merge_rules()
    raw = _per_second(persons, _contents, lambda contents: [_decoder.decode(each) for each in contents])
    rates = {
        "merge": _per_second(persons, Person.said, lambda said: merge(said, rules)),
        "$merged": _per_second(persons, Person.known, lambda each: merged_view(each.merged, each.contents)),
        "summary": _per_second(persons, Person.known, lambda each: summarise(each, NOW)),
        "page": _per_second(
            persons, lambda person: summarise(person.known(), NOW), lambda made: summary_page(made.document)
        ),
    }
    for what, rate in rates.items():
        named = f"{what} of {entries} entries ({1000 / rate:.1f} ms)"
        yield Figure("person", named, rate, "persons/s", raw, "reading the JSON of the entries")


def _summary(person: Person) -> Summary:
    return summarise(person.known(), NOW)


def _contents(person: Person) -> list[bytes]:
    return [each.content for each in person.standing if each.content]


def _per_second(
    persons: Sequence[Person], prepare: Callable[[Person], Prepared], make: Callable[[Prepared], object]
) -> float:
    """Returns how often a second of CPU makes it. Each time it is another person, decoded anew; that is not counted."""
    make(prepare(persons[-1]))
    used = 0.0
    for times, person in enumerate(cycle(persons), 1):
        prepared = prepare(person)
        started = time.process_time()
        make(prepared)
        used += time.process_time() - started
        if used >= _FOR_S:
            return times / used
    raise AssertionError("there are no persons")
