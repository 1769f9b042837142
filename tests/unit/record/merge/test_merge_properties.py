"""Properties of every merged record, whoever makes its statements and in whatever order they come."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.record.merge.words import said

from onestory.record.merge.engine import merge
from onestory.record.merge.model import Fact, MergedRecord, Statement
from onestory.record.merge.reading import StatementReader
from onestory.record.merge.rules import merge_rules

RULES = merge_rules()
BY_WORD = {"same-identifier", "clinician-same"}
EXAMPLES = settings(max_examples=100, deadline=None)

sources = st.sampled_from(["practice", "hospital", "laboratory", "community"])
days = st.sampled_from(["2018-02-01", "2018", "2018-02-10", "2018-03", "2026-02-01", "2026-02-01T08:00:00Z"])
numbers = st.sampled_from(["", "; uuid n1", "; uuid n2", "; uuid n1; uuid n2"])


def words(kind: str, codes: Sequence[str], *details: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    parts = st.tuples(sources, st.sampled_from(codes), numbers, *details)
    return parts.map(lambda drawn: f"{drawn[0]} {kind} {drawn[1]}{''.join(drawn[2:])}")


def maybe(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.just(""), values.map(lambda value: f"; {name} {value}"))


def statuses(*values: str) -> st.SearchStrategy[str]:
    return maybe("status", st.sampled_from(values))


clinical = st.one_of(
    words(
        "allergy", ["penicillin-allergy", "penicillin", "amoxicillin", "nothing-known"],
        statuses("active", "resolved", "refuted", "entered-in-error"), maybe("substance", st.just("amoxicillin")),
    ),
    words(
        "condition", ["hip-fracture", "asthma"], maybe("onset", days), maybe("ended", days),
        statuses("active", "resolved", "refuted", "entered-in-error"),
        maybe("site", st.sampled_from(["left-hip", "right-hip"])),
    ),
    words(
        "prescribes", ["apixaban", "warfarin-1mg"], maybe("authored", days),
        statuses("active", "stopped", "completed", "on-hold"), st.sampled_from(["", "; never"]),
        maybe("dose", st.sampled_from(["1 tablet 1 a day", "1 tablet 2 a day"])),
    ),
    words("takes", ["apixaban"], maybe("from", days), maybe("until", days), statuses("active", "stopped", "not-taken")),
    words("vaccine", ["flu-vaccine"], maybe("day", days), statuses("completed", "not-done")),
    words("observes", ["weight"], maybe("at", days), maybe("value", st.sampled_from(["71 kg", "17 kg"]))),
    words("flag", ["for-cpr", "not-for-cpr"], statuses("active", "inactive")),
    words("procedure", ["hip-replacement"], statuses("completed", "not-done")),
)  # fmt: skip


@st.composite
def records(draw: st.DrawFn, *, judged: bool = True) -> list[Statement]:
    told = draw(st.lists(clinical, min_size=1, max_size=9))
    names = draw(st.permutations([f"s{place:02}" for place in range(len(told))]))
    found = [said(name, each, place) for place, (name, each) in enumerate(zip(names, told, strict=True))]
    if judged:
        pairs = list(combinations(sorted(names), 2)) or [(names[0], "s99")]
        judgements = draw(st.lists(st.tuples(st.sampled_from(["same", "apart"]), st.sampled_from(pairs)), max_size=3))
        for place, (kind, (one, other)) in enumerate(judgements):
            found.append(said(f"j{place}", f"practice {kind} {one} {other}", 50 + place))
    return found


@EXAMPLES
@given(records(), st.randoms())
def test_any_order_and_any_repetition_give_the_same_record(told: list[Statement], chance: Random) -> None:
    again = [*told, *chance.choices(told, k=3)]
    chance.shuffle(again)

    assert merge(again, RULES) == merge(told, RULES)


@EXAMPLES
@given(records())
def test_every_statement_is_in_exactly_one_fact_and_every_judgement_in_none(told: list[Statement]) -> None:
    merged = merge(told, RULES)

    members = [member.shared_id for fact in merged.facts for member in fact.members]
    judged = [judgement.statement.shared_id for judgement in merged.judgements]
    assert sorted(members + judged) == sorted(each.shared_id for each in told)
    assert all(judgement.startswith("j") for judgement in judged)


@EXAMPLES
@given(records())
def test_a_fact_is_explained_by_one_join_fewer_than_it_has_members(told: list[Statement]) -> None:
    for fact in merge(told, RULES).facts:
        assert len(fact.joins) == len(fact.members) - 1
        assert len(_parts(fact, {join.rule for join in fact.joins})) == 1
        assert {name for join in fact.joins for name in (join.one, join.other)} <= _ids(fact)
        assert fact.id == min(_ids(fact))
        assert {member.resource_type for member in fact.members} == {fact.resource_type}


@EXAMPLES
@given(records())
def test_what_content_joined_is_of_different_sources(told: list[Statement]) -> None:
    for fact in merge(told, RULES).facts:
        sources_of = {member.shared_id: member.source for member in fact.members}
        parts = [{sources_of[name] for name in part} for part in _parts(fact, BY_WORD)]
        assert all(one.isdisjoint(other) for one, other in combinations(parts, 2))


@EXAMPLES
@given(records())
def test_yes_and_no_withdrawn_and_said_and_two_plans_are_never_one(told: list[Statement]) -> None:
    clinical_only = [each for each in told if not each.shared_id.startswith("j")]
    reader = StatementReader(RULES)
    readings = {each.shared_id: reader.read(0, each) for each in clinical_only}

    for fact in merge(told, RULES).facts:
        members = [readings[member.shared_id] for member in fact.members]
        assert len({member.negative for member in members}) == 1
        if len(members) > 1:
            assert not any(member.withdrawn or member.plan_decision is not None for member in members)


@EXAMPLES
@given(records(judged=False), st.data())
def test_those_kept_apart_are_never_one_by_whatever_chain(told: list[Statement], data: st.DataObject) -> None:
    names = sorted(each.shared_id for each in told)
    pairs = list(combinations(names, 2)) or [(names[0], "s99")]
    chosen = data.draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=4))
    judgements = [said(f"j{n}", f"practice apart {one} {other}", 50 + n) for n, (one, other) in enumerate(chosen)]

    merged = merge([*told, *judgements], RULES)

    assert not any({one, other} <= _ids(fact) for fact in merged.facts for one, other in chosen)


@EXAMPLES
@given(records(judged=False), st.data())
def test_a_judgement_taken_back_leaves_the_record_as_it_was(told: list[Statement], data: st.DataObject) -> None:
    before = merge(told, RULES)
    one, other = data.draw(st.sampled_from(told)), data.draw(st.sampled_from(told))
    kind = data.draw(st.sampled_from(["same", "apart"]))
    judged = [*told, said("j0", f"practice {kind} {one.shared_id} {other.shared_id}", 50)]

    merge(judged, RULES)

    assert merge(judged[:-1], RULES) == before


@EXAMPLES
@given(records(), st.data())
def test_what_is_hidden_or_taken_back_leaves_no_trace(told: list[Statement], data: st.DataObject) -> None:
    hidden = data.draw(st.sets(st.sampled_from([each.shared_id for each in told])))
    visible = [each for each in told if each.shared_id not in hidden]

    merged = merge(visible, RULES)

    assert hidden.isdisjoint(_named(merged))
    # Merging keeps nothing of an earlier result.
    merge(told, RULES)
    assert merge(visible, RULES) == merged


@EXAMPLES
@given(records())
def test_a_conflict_has_sides_and_is_told_by_every_fact_on_one(told: list[Statement]) -> None:
    facts = merge(told, RULES).facts

    for fact in facts:
        for conflict in fact.conflicts:
            assert len(conflict.sides) > 1
            assert all(side == tuple(sorted(side)) and side for side in conflict.sides)
            on_a_side = {name for side in conflict.sides for name in side}
            assert all(conflict in each.conflicts for each in facts if not _ids(each).isdisjoint(on_a_side))
        assert all(fact.id in each.related for each in facts if each.id in fact.related)


def test_who_recorded_it_last_is_shown_where_nothing_else_tells() -> None:
    first = said("z", "practice condition asthma; onset 2003-05-01; status active", 0)
    later = said("a", "hospital condition asthma; onset 2003-05-01; status active", 1)
    newest = said("z", "practice condition asthma; onset 2003-05-01; status active", 2)

    assert [fact.shown.shared_id for fact in merge([first, later], RULES).facts] == ["a"]
    assert [fact.shown.shared_id for fact in merge([newest, later], RULES).facts] == ["z"]


def _ids(fact: Fact) -> set[str]:
    return {member.shared_id for member in fact.members}


def _parts(fact: Fact, rules: set[str]) -> list[set[str]]:
    """The members of a fact, in groups that joins of these rules connect."""
    parts = [{name} for name in _ids(fact)]
    for join in fact.joins:
        if join.rule in rules:
            touched = [part for part in parts if join.one in part or join.other in part]
            parts = [part for part in parts if part not in touched] + [set().union(*touched)]
    return parts


def _named(merged: MergedRecord) -> set[str]:
    """Every id that a merged record names."""
    named = {
        name for judgement in merged.judgements for name in (*judgement.statement_ids, judgement.statement.shared_id)
    }
    for fact in merged.facts:
        named |= {fact.id, *_ids(fact), *fact.related, *fact.withdrawn}
        named |= {name for join in fact.joins for name in (join.one, join.other)}
        named |= {name for conflict in fact.conflicts for side in conflict.sides for name in side}
    return named
