"""The rules of the record, one by one (design section 6)."""

from __future__ import annotations

from dataclasses import replace

from tests.integration.record.record import Record
from tests.integration.record.statements import Said, arrivals, later, person, statement

from onestory.shared.identity import Keys

AMINA, JOE = person(1), person(2)


def texts(record: Record) -> set[str]:
    """The visible statements, each as its text after `meta`."""
    rows = record.rows(
        """select convert_from(content, 'utf8') from current
           join statement using (person_key, shared_id, event_id) where visible"""
    )
    return {str(content).rpartition("},")[2].rstrip("}") for (content,) in rows}


def test_a_late_older_statement_does_not_replace_a_newer_one(record: Record, keys: Keys) -> None:
    newer = statement(keys, 1, AMINA, [Said("Condition", "a", '"new":1', 9)])
    older = statement(keys, 2, AMINA, [Said("Condition", "a", '"old":1', 8)])

    record.project(keys, [newer], [older])

    assert texts(record) == {'"new":1'}


def test_all_that_was_said_is_kept_as_history(record: Record, keys: Keys) -> None:
    said = [statement(keys, n, AMINA, [Said("Condition", "a", f'"n":{n}', n)]) for n in range(1, 4)]

    record.project(keys, said[:2], said[2:])

    assert record.rows("select count(*) from statement") == [(3,)]


def test_a_sequence_counts_more_than_the_time(record: Record, keys: Keys) -> None:
    second = statement(keys, 1, AMINA, [Said("Condition", "a", '"second":1', 1)], sequence=2)
    first = statement(keys, 2, AMINA, [Said("Condition", "a", '"first":1', 9)], sequence=1)

    record.project(keys, [second, first])

    assert texts(record) == {'"second":1'}


def test_a_retraction_takes_away_what_is_older_and_not_what_is_newer(record: Record, keys: Keys) -> None:
    stated = [statement(keys, n, AMINA, [Said("Condition", n_, f'"{n_}":1', 5)]) for n, n_ in enumerate("ab", 1)]
    retracted = statement(keys, 3, AMINA, [Said("Condition", "a", None, 6), Said("Condition", "b", None, 4)])

    record.project(keys, [retracted], stated)

    assert texts(record) == {'"b":1'}


def test_a_resource_filed_under_the_wrong_person_leaves_them(record: Record, keys: Keys) -> None:
    wrong = statement(keys, 1, AMINA, [Said("Condition", "a", '"wrong":1', 1)])
    right = statement(keys, 2, JOE, [Said("Condition", "a", '"right":1', 2)])
    withdrawn = statement(keys, 3, AMINA, [Said("Condition", "a", None, 3)])

    record.project(keys, [wrong], [right], [withdrawn])

    assert texts(record) == {'"right":1'}
    assert record.rows("select count(*) from claimant") == [(2,)]


def test_a_resource_that_moves_is_with_one_person_only(record: Record, keys: Keys) -> None:
    wrong = statement(keys, 1, AMINA, [Said("Condition", "a", '"wrong":1', 1)])
    right = statement(keys, 2, JOE, [Said("Condition", "a", '"right":1', 2)])

    record.project(keys, [wrong], [right])

    assert texts(record) == {'"right":1'}


def test_a_late_statement_for_the_wrong_person_does_not_bring_the_resource_back(record: Record, keys: Keys) -> None:
    right = statement(keys, 2, JOE, [Said("Condition", "a", '"right":1', 2)])
    wrong = statement(keys, 1, AMINA, [Said("Condition", "a", '"wrong":1', 1)])

    record.project(keys, [right], [wrong])

    assert texts(record) == {'"right":1'}


def test_a_whole_list_retires_what_it_leaves_out_whichever_comes_first(record: Record, keys: Keys) -> None:
    stated = statement(keys, 1, AMINA, [Said("Condition", n, f'"{n}":1', 1) for n in "ab"])
    whole = statement(keys, 2, AMINA, [Said("Condition", "b", '"b":2', 5)], recorded=5, complete_types=["Condition"])
    afterwards = statement(keys, 3, AMINA, [Said("Condition", "c", '"c":3', 6)])

    for order in ([stated, whole, afterwards], [afterwards, whole, stated]):
        record.empty()
        record.project(keys, *[[event] for event in order])

        assert texts(record) == {'"b":2', '"c":3'}


def test_an_earlier_published_at_that_arrives_late_lowers_the_key(record: Record, keys: Keys) -> None:
    winner = statement(keys, 1, AMINA, [Said("Condition", "a", '"one":1', 1)], published=9)
    loser = statement(keys, 2, AMINA, [Said("Condition", "a", '"two":1', 1)], published=5)

    record.project(keys, [winner, loser], [later(winner, published=3)])

    assert texts(record) == {'"two":1'}
    assert record.rows("select count(*) from event") == [(2,)]


def test_a_lowered_key_gives_a_resource_back_to_the_other_person(record: Record, keys: Keys) -> None:
    taken = statement(keys, 1, JOE, [Said("Condition", "a", '"joe":1', 1)], published=9)
    stated = statement(keys, 2, AMINA, [Said("Condition", "a", '"amina":1', 1)], published=5)

    record.project(keys, [stated], [taken], [later(taken, published=3)])

    assert texts(record) == {'"amina":1'}


def test_a_lowered_whole_list_retires_less(record: Record, keys: Keys) -> None:
    whole = statement(keys, 1, AMINA, [], recorded=5, published=9, complete_types=["Condition"])
    stated = statement(keys, 2, AMINA, [Said("Condition", "a", '"a":1', 5)], published=6)

    record.project(keys, [stated, whole])
    assert texts(record) == set()

    record.project(keys, [later(whole, published=3)])
    assert texts(record) == {'"a":1'}


def test_the_same_event_id_with_other_content_is_parked_and_the_first_stays(record: Record, keys: Keys) -> None:
    first = statement(keys, 1, AMINA, [Said("Condition", "a", '"first":1', 1)])
    other = statement(keys, 1, AMINA, [Said("Condition", "a", '"other":1', 2)])

    record.project(keys, [first, other], [first])

    assert texts(record) == {'"first":1'}
    assert record.rows("select reason from parked") == [("event-id-reused",)]
    assert record.rows("select topic from outbox") == [("care.parked",)]


def test_an_event_for_the_wrong_key_is_parked_and_blocks_nobody(record: Record, keys: Keys) -> None:
    ours = arrivals(keys, [statement(keys, 1, AMINA, [Said("Condition", "a", '"a":1', 1)])])
    misplaced = [replace(arrival, key=keys.person_key(JOE).encode()) for arrival in ours]
    fine = arrivals(keys, [statement(keys, 2, JOE, [Said("Condition", "b", '"b":1', 1)])], first=1)

    record.project_arrivals(record.projector(keys), keys, [*misplaced, *fine])

    assert texts(record) == {'"b":1'}
    assert record.rows("select reason, publisher from parked") == [("wrong-key", "A81001")]


def test_the_version_and_the_time_are_put_at_the_start_of_meta(record: Record, keys: Keys) -> None:
    record.project(keys, [statement(keys, 7, AMINA, [Said("Condition", "a", '"a":1.00', 1)])])

    ((content,),) = record.rows("select convert_from(content, 'utf8') from statement")

    assert str(content).endswith(
        '"meta":{"versionId":"00000000-0000-0000-0000-000000000007","lastUpdated":"2026-01-01T00:00:00.000Z"},"a":1.00}'
    )


def test_an_id_in_our_own_form_leads_back_to_its_source(record: Record, keys: Keys) -> None:
    event = statement(keys, 1, AMINA, [Said("Condition", "a", '"a":1', 1)])
    record.project(keys, [event, later(event, published=5)])

    found = record.rows("select person_value, organisation, system, local_id, resource_type from known_resource")

    assert found == [(AMINA.value, "A81001", "emis", "a", "Condition")]
