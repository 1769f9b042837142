"""Promise 8: a read as of an earlier moment shows again what readers saw at that moment of a busy hour."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.integration.record.record import Record
from tests.integration.record.statements import PRACTICE, Said, arrivals, at, later, person, statement, whose

from onestory.record.person.load import load_person, load_person_as_of
from onestory.record.read import store as read_store
from onestory.record.read.store import CurrentEntry
from onestory.shared import identity_links
from onestory.shared.events import ConsumedMessage, RecordChanged, Source
from onestory.shared.identity import Keys, PersonIdentifier, provisional_identity
from onestory.shared.postgres.database import Database, Queries, create_pool

KEYS = Keys(b"a secret for tests, long enough!")
PDS = Source("X26", "pds")
SOURCES = (PRACTICE, PRACTICE, Source("RXX01", "pas"), PDS)
# The numbers are valid because a link to an invalid number has no effect.
PEOPLE = (person(18), person(26), person(34), provisional_identity(PRACTICE.organisation, PRACTICE.system, "a"))
PERSON_KEYS = tuple(KEYS.person_key(each) for each in PEOPLE)
KINDS = ("Condition", "Condition", "Medication", "Patient", "Patient")
TIMES = st.integers(0, 5)
MANY = 10_000_000

Found = TypeVar("Found")


@st.composite
def _said(draw: st.DrawFn, about: PersonIdentifier) -> Said:
    kind, local_id, moment = draw(st.sampled_from(KINDS)), draw(st.sampled_from("aab")), draw(TIMES)
    if draw(st.integers(0, 3)) == 0:
        return Said(kind, local_id, None, moment)
    if kind != "Patient":
        return Said(kind, local_id, draw(st.sampled_from(['"a":1', '"a":2'])), moment)
    other = draw(st.none() | st.sampled_from([each for each in PEOPLE[:3] if each != about]))
    link = f'{{"type":"{draw(st.sampled_from(["replaces", "replaced-by"]))}","other":' if other else ""
    text = f'"link":[{link}{{"reference":"Patient/{other.value}"}}}}]' if other else '"active":true'
    return Said(kind, local_id, text, moment)


@st.composite
def _event(draw: st.DrawFn, event_id: int) -> RecordChanged:
    source, about = draw(st.sampled_from(SOURCES)), draw(st.sampled_from(PEOPLE))
    complete_types = draw(st.lists(st.sampled_from(KINDS), max_size=1))
    entries_of = st.lists(
        _said(about), min_size=not complete_types, max_size=3, unique_by=lambda each: (each.kind, each.local_id)
    )
    return statement(
        KEYS,
        event_id,
        about,
        draw(entries_of),
        source=source,
        recorded=draw(TIMES),
        published=draw(TIMES),
        sequence=draw(TIMES) if source is SOURCES[2] else None,
        complete_types=complete_types,
    )


@st.composite
def busy_hour(draw: st.DrawFn) -> list[list[ConsumedMessage]]:
    """Batches as they arrive. Some messages repeat an event with other times; some share their broker time."""
    ids = draw(st.permutations(range(1, 1 + draw(st.integers(3, 12)))))
    events = [draw(_event(event_id)) for event_id in ids]
    again = draw(st.lists(st.tuples(st.sampled_from(events), TIMES, st.none() | TIMES), max_size=5))
    messages = draw(st.permutations([*events, *[later(event, published=p, recorded=r) for event, p, r in again]]))
    moments = sorted(draw(st.lists(st.integers(0, 20), min_size=len(messages), max_size=len(messages))))
    arrived = [replace(each, broker_time=at(m)) for each, m in zip(arrivals(KEYS, messages), moments, strict=True)]
    cuts = sorted(draw(st.sets(st.integers(1, len(arrived) - 1), max_size=8)))
    return [arrived[a:b] for a, b in itertools.pairwise([0, *cuts, len(arrived)])]


@dataclass(frozen=True)
class Shown:
    """The view at one moment: which identities were joined, and the entries for each set of identities."""

    joined: dict[str, frozenset[str]]
    entries: dict[frozenset[str], list[CurrentEntry]]


def reading(record: Record, read: Callable[[Queries], Awaitable[Found]]) -> Found:
    """The result of `read`, run in one snapshot."""

    async def run() -> Found:
        async with create_pool(record.dsn, "record") as pool, Database(pool).snapshot() as queries:
            return await read(queries)

    return asyncio.run(run())


async def shown_now(queries: Queries) -> Shown:
    """The view of the record at this moment, read with the store functions that serve readers."""
    joined, among = {}, {}
    for key in PERSON_KEYS:
        joined[key] = identity_links.linked_keys(
            identity_links.successions(await read_store.links_in_force(queries, key)), key
        )
    for size in range(1, len(PERSON_KEYS) + 1):
        for keys in itertools.combinations(PERSON_KEYS, size):
            among[frozenset(keys)] = await _together(queries, keys)
    for key in PERSON_KEYS:
        assert (await load_person(queries, key)).entries == among[joined[key] & {*PERSON_KEYS}]
    return Shown(joined, among)


async def _together(queries: Queries, keys: Collection[str]) -> list[CurrentEntry]:
    found = await read_store.current_entries(queries, keys, MANY)
    withdrawn = await read_store.withdrawn_ids(queries, keys) if len(keys) > 1 else frozenset()
    kept = [entry for entry in found if entry.shared_id not in withdrawn]
    return sorted(kept, key=lambda entry: (entry.resource_type, entry.shared_id))


def project(record: Record, batches: Sequence[Sequence[ConsumedMessage]]) -> dict[datetime, Shown]:
    """Project the batches. Returns the view at the end of each moment; as-of does not resolve changes within one."""
    projector, kept = record.projector(KEYS, PDS.organisation), {}
    for place, batch in enumerate(batches):
        record.project_arrivals(projector, KEYS, batch)
        moment = batch[-1].broker_time
        if all(following[0].broker_time > moment for following in batches[place + 1 : place + 2]):
            kept[moment] = reading(record, shown_now)
    return kept


# Hypothesis does not shrink a failure here: each try is a whole hour, so shrinking would take minutes.
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(batches=busy_hour())
def test_as_of_gives_again_what_was_shown_but_for_what_was_of_somebody_else(
    record: Record, batches: list[list[ConsumedMessage]]
) -> None:
    record.empty()
    kept = project(record, batches)
    now = kept[batches[-1][-1].broker_time]
    said = [arrival.event for batch in batches for arrival in batch if isinstance(arrival.event, RecordChanged)]
    belongs = whose(KEYS, said)

    for moment, key in itertools.product(kept, PERSON_KEYS):
        again = reading(record, partial(load_person_as_of, person_key=key, at=moment))

        same = kept[moment].joined[key] & now.joined[key]
        stays = [
            entry
            for entry in kept[moment].entries[frozenset(same & {*PERSON_KEYS})]
            if belongs.get(entry.shared_id.rpartition("-")[2], key) in now.joined[key]
        ]
        assert again.person_keys == same
        assert again.entries == stays
