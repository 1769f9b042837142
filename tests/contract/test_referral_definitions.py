"""The operations and extensions of referrals match their definitions, and every state of a referral is valid FHIR."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid5

import orjson
import pytest
from fhir.resources.R4B.servicerequest import ServiceRequest
from fhir.resources.R4B.task import Task

from onestory.referral.clocks import clock
from onestory.referral.lifecycle import creation
from onestory.referral.lifecycle.decide import decide
from onestory.referral.lifecycle.machine import NEEDS_REASON, allowed_actions
from onestory.referral.lifecycle.model import (
    Action,
    ChangeContext,
    Command,
    Reason,
    ReferralChange,
    ReferralKind,
    Side,
    Status,
)
from onestory.referral.lifecycle.render import resource_content
from onestory.referral.lifecycle.request import accepted_parameters
from onestory.referral.lifecycle.status_words import REFERRER_TO_REVIEW_RESPONSE
from onestory.referral.worklist.claims import OPERATION_PARAMETERS, claim
from onestory.shared.events import Actor, Party
from onestory.shared.fhir.validate import check_resource, validate
from onestory.shared.identity import Keys
from onestory.shared.kafka.schemas import schemas_folder

KEYS, CLOCKS = Keys(b"a secret for tests, of thirty-two bytes"), clock.load_clocks()
PRACTICE, NURSES, THERAPISTS = Party("A81001"), Party("RY001", "nurses"), Party("RY001", "therapists")
SOME = UUID("01930000-0000-7000-8000-000000000001")
BEGAN = datetime(2026, 5, 1, 9, tzinfo=UTC)
REASON = Reason("capacity", {"coding": [{"code": "capacity"}], "text": "No capacity until June"})
DECIDED = (CLOCKS, partial(creation.task_id, KEYS))
OUTPUT = {"type": {"text": "output"}, "valueReference": {"reference": "Appointment/1"}}
EXTENSIONS = "https://onestory.nhs.uk/StructureDefinition/"


def definition(kind: str, name: str) -> dict[str, Any]:
    body = (schemas_folder() / "fhir" / f"{kind}-{name}.json").read_bytes()
    assert validate(body) == []
    assert check_resource(body, kind, kind) == []
    said: dict[str, Any] = orjson.loads(body)
    assert said["url"] == f"https://onestory.nhs.uk/{kind}/{name}"
    return said


@pytest.mark.parametrize("action", OPERATION_PARAMETERS)
def test_a_claim_takes_what_it_is_defined_to_take(action: str) -> None:
    said = definition("OperationDefinition", f"task-{action}")

    assert (said["code"], said["resource"], said["affectsState"], said["instance"]) == (action, ["Task"], True, True)
    assert [each["name"] for each in said["parameter"]] == [*OPERATION_PARAMETERS[action], "return"]


@pytest.mark.parametrize("action", Action)
def test_an_operation_takes_what_it_is_defined_to_take(action: Action) -> None:
    said = definition("OperationDefinition", f"task-{action}")

    asked = {each["name"]: each for each in said["parameter"] if each["use"] == "in"}
    (answered,) = [each for each in said["parameter"] if each["use"] == "out"]
    assert (said["code"], said["resource"], said["affectsState"]) == (action, ["Task"], True)
    assert (said["system"], said["type"], said["instance"]) == (False, False, True)
    assert list(asked) == list(accepted_parameters(action))
    assert {name for name, each in asked.items() if each["min"]} == (
        ({"reason"} if action in NEEDS_REASON else set()) | {"recipient"} & asked.keys()
    )
    assert {name for name, each in asked.items() if each["max"] == "*"} == {"output", "outcome"} & asked.keys()
    assert (answered["type"], answered["min"], answered["max"]) == ("Task", 1, "1")


def changes() -> Iterator[ReferralChange]:
    """One change for each transition between two states, breadth first."""
    asked = creation.parse_service_request(
        {
            "resourceType": "ServiceRequest",
            "status": "draft",
            "intent": "order",
            "code": {"text": "District nursing assessment"},
            "subject": {"reference": "Patient/9990000018"},
            "performer": [{"reference": "HealthcareService/nurses"}],
        }
    )
    asking = creation.ReferralOrigin(PRACTICE, "555", "local-1")
    for kind in ReferralKind:
        first = creation.create_referral(replace(asked, kind=kind), NURSES, asking, doing(0), CLOCKS, KEYS)
        yield first
        known, wait = set[tuple[Status, Status, bool]](), [first]
        while wait:
            before = wait.pop(0).referral
            for action in allowed_actions(before.status, list(Side), is_open=before.is_open, kind=before.kind):
                if action is Action.COMPLETE and before.kind is ReferralKind.ADVICE:
                    before = replace(before, business_status=REFERRER_TO_REVIEW_RESPONSE)
                changed = decide(before, command(action, before.recipient), list(Side), doing(before.version), *DECIDED)
                way = (before.status, changed.referral.status, changed.referral.is_open)
                if way not in known:
                    known.add(way)
                    wait.append(changed)
                    yield changed


def command(action: Action, recipient: Party) -> Command:
    said = accepted_parameters(action)
    return Command(
        action,
        reason=REASON if "reason" in said else None,
        outputs=(OUTPUT,) if "output" in said else (),
        recipient=(THERAPISTS if recipient == NURSES else NURSES) if "recipient" in said else None,
        until=BEGAN + timedelta(days=3) if "until" in said else None,
    )


def doing(number: int) -> ChangeContext:
    return ChangeContext(
        uuid5(SOME, str(number)), Actor(PRACTICE, "555", "R8000"), BEGAN + timedelta(hours=number), "c-1"
    )


def written() -> dict[str, bytes]:
    found = {}
    for changed in changes():
        name = f"{changed.referral.kind} {changed.referral.version} {changed.action}"
        for place, resource in enumerate(changed.resources):
            found[f"{name} {place} {resource.resource_type}"] = resource_content(changed, resource)
    return found


def test_every_state_of_a_referral_is_valid_fhir() -> None:
    found = written()

    for name, body in found.items():
        assert validate(body) == [], name
        resource = json.loads(body)
        model: Any = Task if resource["resourceType"] == "Task" else ServiceRequest
        model.model_validate(resource)
    statuses = {(each := json.loads(body))["resourceType"] + " " + each["status"] for body in found.values()}
    assert {f"Task {status}" for status in Status} <= statuses
    assert {"ServiceRequest active", "ServiceRequest revoked", "ServiceRequest on-hold"} <= statuses


def test_each_extension_on_a_task_is_one_that_is_defined_for_it() -> None:
    used, sides = dict[str, set[str]](), list(Side)
    (sent, *_) = [each for each in changes() if each.action == Action.REQUEST]
    claimed = claim(sent.referral, sides, doing(9))
    for body in (*written().values(), resource_content(claimed, claimed.resources[0])):
        for each in json.loads(body).get("extension", ()):
            used.setdefault(each["url"], set()).update(each.keys() - {"url"})

    assert used.keys() == {f"{EXTENSIONS}referral-{name}" for name in ("holder", "next-actor", "claimed", "version")}
    for url, values in used.items():
        said = definition("StructureDefinition", url.removeprefix(EXTENSIONS))
        (value,) = [each for each in said["differential"]["element"] if each["path"] == "Extension.value[x]"]
        (kind,) = value["type"]
        assert values == {f"value{kind['code'][0].upper()}{kind['code'][1:]}"}
        assert said["context"] == [{"type": "element", "expression": "Task"}]


def test_where_a_referral_has_several_tasks_one_alone_names_holder_and_next_actor() -> None:
    redirected = [changed for changed in changes() if changed.action == Action.REDIRECT]

    assert redirected
    for changed in redirected:
        tasks = [each for each in changed.resources if each.resource_type == "Task"]
        named = {each.shared_id: str(each.body["extension"]) for each in tasks if "holder" in str(each.body)}
        assert len(tasks) == 2
        assert list(named) == [changed.referral.task_id]
        assert all("next-actor" in each for each in named.values())
        assert all(f"'valueInteger': {changed.referral.version}" in str(each.body) for each in tasks)
        assert [each.shared_id for each in tasks if "restriction" in each.body] == [changed.referral.task_id]
