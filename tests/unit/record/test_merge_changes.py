"""The facts of a person that are new, changed or gone since an earlier merged record."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from onestory.record.merge.model import Certainty, Fact, FactConflict, Join, MergedRecord, Statement
from onestory.record.merge.view import changes

AT = datetime(2026, 1, 1, tzinfo=UTC)


def said(shared_id: str, version: int = 1) -> Statement:
    return Statement(shared_id, "Condition", "A81001", "emis", UUID(int=version), AT, AT, {})


def fact(*members: Statement, conflicts: tuple[FactConflict, ...] = ()) -> Fact:
    ids = sorted(each.shared_id for each in members)
    joins = tuple(Join(ids[0], other, "same-code", Certainty.LIKELY) for other in ids[1:])
    return Fact(ids[0], "Condition", members, joins, conflicts)


def merged(*facts: Fact) -> MergedRecord:
    return MergedRecord(facts)


GOUT, ASTHMA, FALL = fact(said("a")), fact(said("b")), fact(said("c"))


def test_nothing_changed_when_nothing_was_said() -> None:
    same = changes(merged(GOUT, ASTHMA), merged(GOUT, ASTHMA))

    assert (same.new, same.changed, same.gone) == ((), (), ())


def test_what_was_said_since_is_new_and_what_was_withdrawn_is_gone() -> None:
    since = changes(merged(GOUT, ASTHMA), merged(ASTHMA, FALL))

    assert (since.new, since.changed, since.gone) == ((FALL,), (), (GOUT,))


def test_a_corrected_statement_changes_its_fact() -> None:
    corrected = fact(said("a", version=2))

    (change,) = changes(merged(GOUT), merged(corrected)).changed

    assert (change.fact, change.previous) == (corrected, (GOUT,))


def test_a_second_source_changes_the_fact_that_it_confirms() -> None:
    confirmed = fact(said("a"), said("z"))

    (change,) = changes(merged(GOUT), merged(confirmed)).changed

    assert (change.fact, change.previous) == (confirmed, (GOUT,))


def test_facts_that_are_joined_are_changed_and_none_of_them_is_gone() -> None:
    joined = fact(said("a"), said("b"))

    since = changes(merged(GOUT, ASTHMA), merged(joined))

    assert [(change.fact, change.previous) for change in since.changed] == [(joined, (GOUT, ASTHMA))]
    assert (since.new, since.gone) == ((), ())


def test_facts_that_are_kept_apart_are_changed_and_none_of_them_is_new() -> None:
    joined = fact(said("a"), said("b"))

    since = changes(merged(joined), merged(GOUT, ASTHMA))

    assert [(change.fact, change.previous) for change in since.changed] == [(GOUT, (joined,)), (ASTHMA, (joined,))]
    assert (since.new, since.gone) == ((), ())


def test_a_new_contradiction_changes_the_facts_on_its_sides() -> None:
    conflict = FactConflict("refuted", "One source has refuted it.", (("a",), ("c",)))
    contradicted = msgspec.structs.replace(GOUT, conflicts=(conflict,))

    since = changes(merged(GOUT), merged(contradicted, msgspec.structs.replace(FALL, conflicts=(conflict,))))

    assert [change.fact for change in since.changed] == [contradicted]
    assert len(since.new) == 1


@st.composite
def records(draw: st.DrawFn) -> MergedRecord:
    """A merged record of a few statements, each in one of two versions, joined at random."""
    ids = draw(st.lists(st.sampled_from("abcdef"), unique=True))
    groups: dict[int, list[Statement]] = {}
    for shared_id in ids:
        groups.setdefault(draw(st.integers(0, 2)), []).append(said(shared_id, draw(st.integers(1, 2))))
    return merged(*sorted((fact(*members) for members in groups.values()), key=lambda each: each.id))


@given(before=records(), now=records())
def test_who_knows_the_changes_and_what_was_knows_what_is(before: MergedRecord, now: MergedRecord) -> None:
    since = changes(before, now)

    stays = [each for each in before.facts if each in now.facts]
    known = [*stays, *since.new, *[change.fact for change in since.changed]]
    assert sorted(each.id for each in known) == [each.id for each in now.facts]
    assert all(each not in now.facts for each in since.gone)


@given(before=records(), now=records())
def test_what_is_new_one_way_is_gone_the_other_way(before: MergedRecord, now: MergedRecord) -> None:
    assert changes(before, now).new == changes(now, before).gone
