"""Merging the synthetic network: facts that it lists as the same are one line, disputed facts are a conflict."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from uuid import UUID

import orjson
import pytest

from onestory.record.merge.engine import merge
from onestory.record.merge.model import Fact, MergedRecord, Statement
from onestory.record.merge.rules import merge_rules
from onestory.sample.main import person_submissions
from onestory.sample.people import make_person
from onestory.sample.resources import SampleSubmission

SEED, PEOPLE = 7, 20


@cache
def submissions(index: int) -> tuple[SampleSubmission, ...]:
    return tuple(person_submissions(make_person(SEED, index)))


@cache
def record(index: int) -> MergedRecord:
    """The merged record of one person, from the newest statement of each resource. Nothing is deleted here."""
    newest = {said.shared_id: said for submission in submissions(index) for said in _statements(submission)}
    return merge(newest.values(), merge_rules())


def disputed(trouble: str) -> Iterator[Fact]:
    """The facts that the network's manifest names for a trouble."""
    for index in range(PEOPLE):
        for submission in submissions(index):
            for case in submission.cases:
                if case.trouble == trouble:
                    yield _fact(record(index), _name(submission, case.resource))


def test_what_two_sources_say_is_one_line() -> None:
    found = list(disputed("same-fact"))

    assert found
    assert all(len({member.organisation for member in fact.members}) > 1 for fact in found)


@pytest.mark.parametrize(
    ("trouble", "kind"), [("conflict-condition", "status"), ("conflict-allergy", "negation"), ("conflict-dose", "dose")]
)
def test_what_is_disputed_is_a_conflict(trouble: str, kind: str) -> None:
    found = list(disputed(trouble))

    assert found
    assert all(kind in {conflict.kind for conflict in fact.conflicts} for fact in found)


def test_a_plan_for_an_emergency_comes_first() -> None:
    found = {fact.id for fact in disputed("resuscitation")}
    firsts = [{fact.id for fact in record(index).facts[:4]} for index in range(PEOPLE)]

    assert found
    assert found <= set().union(*firsts)


def test_what_was_entered_in_error_is_marked() -> None:
    assert all(fact.withdrawn == (fact.id,) for fact in disputed("entered-in-error"))


def _statements(submission: SampleSubmission) -> Iterator[Statement]:
    for entry in orjson.loads(submission.body)["entry"]:
        resource = entry.get("resource")
        if resource and "id" in resource:
            source, kind = submission.source, resource["resourceType"]
            at = datetime.fromisoformat(resource["meta"]["lastUpdated"])
            name = _name(submission, f"{kind}/{resource['id']}")
            yield Statement(name, kind, source.ods, source.system, UUID(int=0), at, at, resource)


def _name(submission: SampleSubmission, resource: str) -> str:
    return f"{submission.source.ods}/{resource}"


def _fact(merged: MergedRecord, name: str) -> Fact:
    return next(fact for fact in merged.facts if name in {member.shared_id for member in fact.members})
