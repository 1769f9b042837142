"""`onestory admin references` lists what earlier rules may have misread, and corrects it, on the real stack."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.people import condition, new_nhs_number, said_at
from tests.publishing import SENT
from tests.stack import Services
from tests.waiting import until

from onestory.__main__ import main
from onestory.intake.preparation import EventMessages
from onestory.local.state import secret
from onestory.shared.events import Entry, Operation, RecordChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.producer import Producer
from onestory.shared.kafka.schemas import topics

SOURCE = Source("RX001", "pas")
THEN = datetime(2026, 10, 1, 10, tzinfo=UTC)

Resource = tuple[str, int, dict[str, Any]]
"""A resource type, the index of the entry in its Bundle, and further elements."""


@pytest.fixture
def keys(services: Services) -> Keys:
    return Keys(secret(services.home, "key-secret").encode())


@pytest.fixture
def admin(
    services: Services, keys: Keys, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Calls `onestory admin references`. Returns the exit code, the output and the errors."""
    monkeypatch.setenv("ONESTORY_KAFKA", services.kafka)
    monkeypatch.setenv("ONESTORY_POSTGRES", services.postgres)
    monkeypatch.setenv("ONESTORY_KEY_SECRET", keys.secret.decode())

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["admin", "references", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def publish_by_earlier_rules(services: Services, keys: Keys, statements: dict[str, Sequence[Resource]]) -> list[str]:
    """Publish one submission as the earlier release did. Returns `Type/<shared id>` of each resource."""
    submission, now = uuid4(), datetime.now(UTC)
    messages, names = [], []
    builder = EventMessages(create_codec(), keys, topics())
    for number, resources in statements.items():
        person, entries = PersonIdentifier(NHS_NUMBER_SYSTEM, number), []
        for kind, index, elements in resources:
            local_id = f"{submission}/{index}"
            shared_id = keys.shared_id(keys.person_key(person), SOURCE.organisation, SOURCE.system, kind, local_id)
            content = json.dumps({"resourceType": kind, "id": shared_id, "meta": {}, **elements}, separators=(",", ":"))
            entries.append(Entry(kind, local_id, shared_id, THEN, Operation.ASSERT, content.encode()))
            names.append(f"{kind}/{shared_id}")
        event = RecordChanged(uuid4(), SOURCE, person, None, THEN, now, "test", (), tuple(entries))
        messages.append(builder.message(event, ""))
    with closing(Producer(services.kafka, timeout_s=10, client_id="test")) as producer:
        asyncio.run(producer.send(messages))
    return names


def texts(client: httpx.Client, number: str) -> list[str]:
    answer = client.get(f"/fhir/Patient/{number}/$everything").raise_for_status().json()
    resources = [entry["resource"] for entry in answer.get("entry", ())]
    return sorted(resource["code"]["text"] for resource in resources if resource["resourceType"] == "Condition")


def test_a_condition_on_the_wrong_record_is_listed_with_its_readers_and_moved(
    services: Services, keys: Keys, hospital: httpx.Client, admin: Callable[..., tuple[int, str, str]]
) -> None:
    alpha, bravo = new_nhs_number(), new_nhs_number()
    services.register(alpha, bravo)
    misread = {"subject": {"reference": f"Patient/{alpha}"}, "code": {"text": "Epilepsy"}}
    patients = {number: ("Patient", index, {"name": [{"text": "A"}]}) for index, number in enumerate((alpha, bravo))}
    names = publish_by_earlier_rules(
        services, keys, {alpha: [patients[alpha], ("Condition", 2, misread)], bravo: [patients[bravo]]}
    )
    with services.client("A81001", network="harbour") as practice:
        until(lambda: texts(practice, alpha) == ["Epilepsy"])
        name = names[1]

        code, out, _ = admin("--person", alpha, "--json")

        assert code == 0
        (listed,) = json.loads(out)
        assert (listed["resource"], listed["stands"]) == (name, True)
        assert listed["references"][0]["may_mean"] == [f"Patient/{bravo}"]
        assert {reader["organisation"] for reader in listed["readers"]} == {"A81001"}

        shown_until = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        assert admin("quarantine", name, "--reason", "whose?")[0] == 0

        until(lambda: texts(practice, alpha) == [])
        assert texts(practice, bravo) == []
        assert admin("correct", name, "--to-person", bravo, "--reason", "x")[0] == 1
        # The record as it was does not show the statement on the wrong record either.
        as_it_was = practice.get(f"/fhir/Patient/{alpha}/$everything", params={"asOf": shown_until}).raise_for_status()
        assert name not in as_it_was.text
        assert "Epilepsy" not in as_it_was.text
        assert json.loads(admin("--person", alpha, "--json")[1])[0]["stands"] is False

        # The source's next statement decides again.
        again = said_at(condition(bravo, "c-7", "Epilepsy"), "2026-10-02T10:00:00Z")
        hospital.put("/fhir/Condition/c-7", json=again, headers=SENT).raise_for_status()
        assert texts(practice, bravo) == ["Epilepsy"]


def test_a_correction_moves_the_statement_and_a_medicine_gets_its_right_name(
    services: Services, keys: Keys, admin: Callable[..., tuple[int, str, str]]
) -> None:
    alpha, bravo = new_nhs_number(), new_nhs_number()
    services.register(alpha, bravo)
    misread = {"subject": {"reference": f"Patient/{alpha}"}, "code": {"text": "Gout"}}
    (name,) = publish_by_earlier_rules(services, keys, {alpha: [("Condition", 2, misread)]})
    with services.client("A81001", network="harbour") as practice:
        until(lambda: texts(practice, alpha) == ["Gout"])

        code, out, err = admin("correct", name, "--to-person", bravo, "--reason", "HAZ-7")

        assert code == 0, err
        until(lambda: texts(practice, bravo) == ["Gout"])
        assert texts(practice, alpha) == []
        moved = practice.get(f"/fhir/Condition?patient={bravo}").json()["entry"][0]["resource"]
        assert moved["meta"]["tag"][-1]["display"] == "HAZ-7"
        assert f"Condition/{moved['id']}" in out


def test_what_new_rules_resolved_is_not_listed(
    services: Services, hospital: httpx.Client, admin: Callable[..., tuple[int, str, str]]
) -> None:
    number = new_nhs_number()
    services.register(number)
    medicines = [{"fullUrl": f"urn:uuid:{uuid4()}", "resource": {"resourceType": "Medication"}} for _ in range(2)]
    taken = {
        "resourceType": "MedicationStatement",
        "status": "active",
        "subject": {"reference": f"Patient/{number}"},
        "medicationReference": {"reference": medicines[0]["fullUrl"]},
    }
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [*medicines, {"resource": taken}]}
    hospital.post("/fhir", json=bundle, headers=SENT).raise_for_status()

    assert admin("--person", number)[1].startswith("No statement has a reference")
