"""Promise 2: events give the same record in any order and with any repetition."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.record.record import Record
from tests.integration.record.statements import Said, expected_digest, later, person, statement

from onestory.shared.events import RecordChanged, Source
from onestory.shared.identity import Keys

KEYS = Keys(b"a secret for tests, long enough!")
SOURCES = (Source("A81001", "emis"), Source("A81001", "emis"), Source("RXX01", "pas"))
KINDS = ("Condition", "Condition", "Observation", "Medication")
TIMES = st.integers(0, 3)

said = st.builds(
    Said,
    kind=st.sampled_from(KINDS),
    local_id=st.sampled_from("aaab"),
    text=st.none() | st.sampled_from(['"a":1', '"a":2']),
    at=TIMES,
)


@st.composite
def _statement(draw: st.DrawFn, event_id: int) -> RecordChanged:
    source = draw(st.sampled_from(SOURCES))
    return statement(
        KEYS,
        event_id,
        person(draw(st.integers(0, 1))),
        draw(st.lists(said, max_size=3, unique_by=lambda each: (each.kind, each.local_id))),
        source=source,
        recorded=draw(TIMES),
        published=draw(TIMES),
        # Only the last source sends a sequence, and it always does.
        sequence=draw(TIMES) if source is SOURCES[2] else None,
        complete_types=draw(st.lists(st.sampled_from(KINDS), max_size=1)),
    )


@st.composite
def history(draw: st.DrawFn) -> list[RecordChanged]:
    """Events, with repetitions of some of them at other times."""
    ids = draw(st.permutations(range(1, 1 + draw(st.integers(2, 8)))))
    events = [draw(_statement(event_id)) for event_id in ids]
    again = draw(st.lists(st.tuples(st.sampled_from(events), TIMES, st.none() | TIMES), min_size=1, max_size=4))
    return events + [later(event, published=published, recorded=recorded) for event, published, recorded in again]


def _batches(events: Sequence[RecordChanged], order: random.Random) -> list[list[RecordChanged]]:
    shuffled = order.sample(events, len(events))
    cuts = sorted(order.sample(range(1, len(events)), min(len(events) - 1, order.randint(0, 4))))
    return [shuffled[a:b] for a, b in itertools.pairwise([0, *cuts, len(events)])]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=history(), order=st.randoms(use_true_random=False))
def test_any_permutation_and_duplication_gives_the_record_of_the_specification(
    record: Record, events: list[RecordChanged], order: random.Random
) -> None:
    expected = expected_digest(KEYS, events)

    for _ in range(2):
        record.empty()
        record.project(KEYS, *_batches(events + order.sample(events, min(2, len(events))), order))

        assert record.digest() == expected
