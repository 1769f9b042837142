"""Conditions on entries of a batch that support the statements about people."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.unit.intake.door import (
    AMINA,
    BEN,
    DOOR,
    NOTHING_SAID,
    NOW,
    ORGANISATION,
    SOURCE,
    Json,
    decide,
    directory_id,
    full_url,
    person,
    post,
    posted,
)

from onestory.intake.domain.conditions import NO_CONDITIONS, DecidedConditions, MatchedResource
from onestory.intake.domain.earlier import EarlierStatements
from onestory.intake.domain.parse import parse_submission
from onestory.intake.domain.prepare import condition_scopes
from onestory.intake.domain.request import ExistingEntry, RefusedEntry, RequestContext, apply_claims
from onestory.shared.identity import PersonIdentifier

PAIR = "urn:m|1"


def batch(*numbers: str, bystander: str = "", method: str = "POST") -> Json:
    """A Medication with a condition, a prescription of it for each of these people, and a Condition of another."""
    medicine = {"resourceType": "Medication", "identifier": [{"system": "urn:m", "value": "1"}]}
    prescriptions = [
        {
            "resourceType": "MedicationRequest",
            "status": "active",
            "intent": "order",
            "subject": {"reference": f"Patient/{number}"},
            "medicationReference": {"reference": full_url(0)},
        }
        for number in numbers
    ]
    other = {"resourceType": "Condition", "subject": {"reference": f"Patient/{bystander}"}}
    body = posted("batch", medicine, *prescriptions, *([other] if bystander else []))
    request = body["entry"][0]["request"]
    request |= {"method": method}
    request |= {"ifNoneExist": f"identifier={PAIR}"} if method == "POST" else {"url": f"Medication?identifier={PAIR}"}
    return body


def scopes(body: Json) -> dict[int, PersonIdentifier | None]:
    arrival = RequestContext(DOOR, ORGANISATION, SOURCE.system, NOW, UUID(int=1), "correlation")
    opened = parse_submission(post(body), DOOR.base_url)
    context = apply_claims(arrival, NOTHING_SAID, opened.claims())
    return condition_scopes(opened, context, {}, EarlierStatements(), NO_CONDITIONS)


def test_the_resource_of_a_condition_is_looked_for_in_the_statement_that_uses_it() -> None:
    assert scopes(batch(AMINA, bystander=BEN)) == {0: person(AMINA)}
    assert scopes(batch(AMINA, BEN)) == {0: None}
    assert scopes(batch(bystander=BEN)) == {0: None}


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_condition_on_an_entry_that_supports_several_people_is_refused(method: str) -> None:
    prepared = decide(post(batch(AMINA, BEN, method=method)))

    assert prepared.events == ()
    refused = prepared.outcomes[0]
    assert isinstance(refused, RefusedEntry)
    (issue,) = refused.error.issues
    assert "a batch for each person" in issue.diagnostics
    assert issue.expression.startswith("Bundle.entry[0].request")
    assert all(isinstance(outcome, RefusedEntry) for outcome in prepared.outcomes)


def test_several_people_may_use_what_the_directory_has() -> None:
    found = MatchedResource("Medication", "m1", directory_id("Medication", "m1"), UUID(int=9), b"{}", NOW, None)

    prepared = decide(post(batch(AMINA, BEN)), conditions=DecidedConditions({0: found}))

    assert isinstance(prepared.outcomes[0], ExistingEntry)
    assert len(prepared.events) == 2
