"""The cache of a person always equals a fresh load: every change of a record invalidates it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.record.record import Record
from tests.integration.record.statements import Said, at, statement
from tests.integration.record.test_aliases import FIRST, PDS, SECOND, THIRD, replacing
from tests.integration.record.test_any_order import KEYS, history
from tests.referral_events import Made

from onestory.record.person.identifiers import PersonRef
from onestory.record.person.load import PersonLoader, PersonRecord, load_person
from onestory.shared.events import RecordChanged, ReferralChanged, Source
from onestory.shared.identity import PersonIdentifier, provisional_identity
from onestory.shared.postgres.database import Database, create_pool

NUMBERS = (FIRST, SECOND, THIRD)
PROVISIONAL = provisional_identity("A81001", "emis", "p1")


@st.composite
def _identities(draw: st.DrawFn, event_id: int) -> RecordChanged | ReferralChanged:
    """One of: a link, its retraction, a Patient of a source that states a number, its retraction, a statement about
    a person, or a change of a referral.
    """
    new, old = draw(st.sampled_from([(a, b) for a in NUMBERS for b in NUMBERS if a != b]))
    made = replacing(KEYS, event_id, new, old)
    source = Source("A81001", "emis")
    status = draw(st.sampled_from(["requested", "accepted", "completed"]))
    referred = Made(KEYS, new).change(UUID(int=event_id), event_id, status, at(event_id))
    told: list[RecordChanged | ReferralChanged] = [
        made,
        referred,
        statement(KEYS, event_id, new, [Said("Patient", new.value, None, event_id)], source=PDS),
        statement(KEYS, event_id, new, [Said("Patient", "p1", '"active":true', event_id)], source=source),
        statement(KEYS, event_id, new, [Said("Patient", "p1", None, event_id)], source=source),
        statement(KEYS, event_id, new, [Said("Condition", "c", f'"a":{event_id}', event_id)], source=source),
        statement(KEYS, event_id, PROVISIONAL, [Said("Condition", "d", '"a":1', event_id)], source=source),
    ]
    return draw(st.sampled_from(told))


@st.composite
def changes(draw: st.DrawFn) -> list[RecordChanged | ReferralChanged]:
    """Events that change records and identities, in any order."""
    told = [draw(_identities(100 + place)) for place in range(draw(st.integers(1, 8)))]
    return draw(st.permutations([*told, *draw(history())]))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=changes(), order=st.randoms(use_true_random=False))
def test_what_is_kept_of_a_person_is_what_would_be_loaded(
    record: Record, events: list[RecordChanged | ReferralChanged], order: random.Random
) -> None:
    record.empty()

    asyncio.run(_compare(record, events, order))


async def _compare(record: Record, events: Sequence[RecordChanged | ReferralChanged], order: random.Random) -> None:
    everybody = {event.person for event in events} | {*NUMBERS, PROVISIONAL}
    async with create_pool(record.dsn, "record") as pool:
        database = Database(pool)
        kept = PersonLoader(database)
        for first in range(0, len(events), 2):
            record.project(KEYS, events[first : first + 2], authorities=["X26"])
            for identifier in sorted(everybody):
                # Some persons are not read after a change, so their cached values grow older.
                if order.random() < 0.7:
                    assert await _kept(kept, identifier) == await _fresh(database, identifier)


async def _kept(kept: PersonLoader, identifier: PersonIdentifier) -> tuple[object, ...]:
    return _shown(await kept.load(PersonRef(KEYS.person_key(identifier))))


async def _fresh(database: Database, identifier: PersonIdentifier) -> tuple[object, ...]:
    async with database.snapshot() as queries:
        return _shown(await load_person(queries, KEYS.person_key(identifier)))


def _shown(person: PersonRecord) -> tuple[object, ...]:
    # The cached list may also hold links of other persons, because a former link once led to them.
    among = {each for each in person.successions if {each.older, each.newer} <= set(person.person_keys)}
    return set(person.person_keys), person.numbers, among, list(person.entries), person.referrals
