"""One request to several teams: a referral for each, and the first acceptance ends the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from tests.unit.referral.made import CLOCKS, PAIN, PHYSIO, PRACTICE, done, sent
from tests.unit.referral.test_journeys import parties

from onestory.referral.lifecycle.creation import MAX_TEAMS, parse_service_requests
from onestory.referral.lifecycle.groups import GROUP_SYSTEM, as_group, end_for_acceptance
from onestory.referral.lifecycle.journeys import known_to_team_warning
from onestory.referral.lifecycle.model import Action, Referral, Side
from onestory.shared.errors import Unprocessable


def asking(*teams: str, **elements: Any) -> dict[str, Any]:
    """A ServiceRequest for these teams."""
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/9000000009"},
        "performer": [{"reference": f"HealthcareService/{team}"} for team in teams],
        **elements,
    }


def test_each_team_gets_a_request_with_the_same_group() -> None:
    requests = as_group(parse_service_requests(asking("one", "two", "one")), "group")

    assert [request.team.team_id for request in requests] == ["one", "two"]
    assert {request.group_id for request in requests} == {"group"}
    assert requests[0].body["requisition"] == {"system": GROUP_SYSTEM, "value": "group"}
    assert len(parse_service_requests(asking("one"))) == 1


@pytest.mark.parametrize("teams", [[], [f"t{number}" for number in range(MAX_TEAMS + 1)]])
def test_no_team_and_too_many_are_refused(teams: list[str]) -> None:
    with pytest.raises(Unprocessable, match=r"teams at once|Name the one team"):
        parse_service_requests(asking(*teams))


def test_advice_is_asked_of_one_team() -> None:
    advice = {"coding": [{"system": "https://fhir.nhs.uk/CodeSystem/usecases-categories-bars", "code": "a8t1"}]}

    with pytest.raises(Unprocessable):
        parse_service_requests(asking("one", "two", category=[advice]))


@pytest.mark.parametrize("status", [(), ((Action.RECEIVE, Side.RECIPIENT),), ((Action.REJECT, Side.RECIPIENT),)])
def test_an_acceptance_ends_the_others_and_tells_their_teams(status: tuple[tuple[Action, Side], ...]) -> None:
    accepted = done(replace(sent(), group_id="group"), Action.ACCEPT, Side.RECIPIENT)
    other: Referral = replace(sent(), recipient=PAIN, group_id="group")
    for action, side in status:
        other = done(other, action, side).referral

    change = end_for_acceptance(other, accepted, UUID(int=7), CLOCKS, lambda of, _: of.task_id)

    assert not change.referral.is_open
    assert change.referral.reason is not None
    assert change.referral.reason.code == "accepted-elsewhere"
    assert {notice.party for notice in change.notices} >= {PRACTICE, PAIN}
    assert accepted.referral.holder == PHYSIO


def test_a_team_that_has_the_person_already_is_named_to_a_party_only() -> None:
    known = parties(sent())
    requester = frozenset({Side.REQUESTER})

    (warning,) = known_to_team_warning(PHYSIO, [known], {known.referral_id: requester})

    assert known.referral_id in warning
    assert known_to_team_warning(PHYSIO, [known], {}) == ()
    assert known_to_team_warning(PAIN, [known], {known.referral_id: requester}) == ()
    assert known_to_team_warning(PHYSIO, [replace(known, is_open=False)], {known.referral_id: requester}) == ()
