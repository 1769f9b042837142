"""References in a message are resolved as in any Bundle: by the server of their entry, and without a guess."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from tests.bars import SENDER, one, published, resources
from tests.contract.shared_data import needs_shared_data
from tests.unit.intake.door import AMINA, content, decide, statement

from onestory.intake.domain.request import Submission
from onestory.referral.bars.matching import refuse_other_sender, refuse_other_subject
from onestory.referral.bars.meaning import Meaning, read_meaning
from onestory.referral.bars.message import BarsMessage, record_event, to_collection
from onestory.referral.bars.parse import parse_message
from onestory.shared.errors import Forbidden, Malformed
from onestory.shared.identity import is_nhs_number_system

pytestmark = needs_shared_data

Json = dict[str, Any]
A, B = "http://a.example/fhir", "http://b.example/fhir"
REQUEST_ID = UUID(int=7)


def of_server(root: str) -> Json:
    """The published referral with RESTful fullUrls, and with relative references."""
    said = published("REFREQ01")
    relative = {}
    for index, entry in enumerate(said["entry"]):
        kind = entry["resource"]["resourceType"]
        entry["resource"]["id"] = f"n{index}"
        relative[entry["fullUrl"]] = f"{kind}/n{index}"
        entry["fullUrl"] = f"{root}/{kind}/n{index}"
    text = json.dumps(said)
    for url, reference in relative.items():
        text = text.replace(json.dumps(url), json.dumps(reference))
    changed: Json = json.loads(text)
    for resource in resources(changed):
        for identifier in resource.get("identifier", ()):
            if is_nhs_number_system(identifier.get("system")):
                identifier["value"] = AMINA
    return changed


def add(said: Json, full_url: str, resource: Json) -> None:
    said["entry"].append({"fullUrl": full_url, "resource": resource})


def opened(said: Json) -> BarsMessage:
    return parse_message(json.dumps(said).encode())


def sender_of(said: Json) -> Json:
    reference = one(said, "MessageHeader")["sender"]["reference"]
    return next(each for each in resources(said) if f"{each['resourceType']}/{each['id']}" == reference)


def recorded(said: Json) -> list[Json]:
    """The resources that the record gets of a message."""
    body = json.dumps(said).encode()
    message = parse_message(body)
    owned = [message.focus.index]
    event = statement(decide(Submission("POST", to_collection(body, message.entries, owned, {}, REQUEST_ID))))
    return [content(entry) for entry in event.entries]


def test_a_message_of_one_server_may_use_relative_references() -> None:
    message = opened(of_server(A))

    assert read_meaning(message) is Meaning.REFER
    refuse_other_subject(message)
    refuse_other_sender(message, SENDER)


def test_the_sender_by_a_relative_reference_is_compared_with_the_token() -> None:
    with pytest.raises(Forbidden):
        refuse_other_sender(opened(of_server(A)), "A81001")


@pytest.mark.parametrize("first", [True, False])
def test_an_entry_of_another_server_with_the_same_id_is_not_the_sender(first: bool) -> None:
    said = of_server(A)
    sender = sender_of(said)
    other = {**sender, "identifier": [{"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "A81001"}]}
    add(said, f"{B}/{sender['resourceType']}/{sender['id']}", other)
    if first:
        said["entry"].insert(1, said["entry"].pop())

    refuse_other_sender(opened(said), SENDER)
    with pytest.raises(Forbidden):
        refuse_other_sender(opened(said), "A81001")


def test_a_sender_that_could_be_two_entries_is_refused_at_its_place() -> None:
    said = of_server(A)
    sender = sender_of(said)
    said["entry"][0]["fullUrl"] = "urn:uuid:00000000-0000-4000-8000-000000000001"
    add(said, f"{B}/{sender['resourceType']}/{sender['id']}", sender)

    with pytest.raises(Malformed) as raised:
        refuse_other_sender(opened(said), SENDER)

    (issue,) = raised.value.issues
    assert (issue.code, issue.expression) == ("multiple-matches", "Bundle.entry[0].resource.sender.reference")


def test_a_subject_that_only_another_server_has_is_refused() -> None:
    said = of_server(A)
    patient = opened(said).patient
    said["entry"][patient.index]["fullUrl"] = f"{B}/Patient/{patient.resource_id}"

    with pytest.raises(Malformed) as raised:
        refuse_other_subject(opened(said))

    assert raised.value.issues[0].expression.endswith(".subject.reference")


def test_the_record_gets_each_reference_as_its_own_server_means_it() -> None:
    said = of_server(A)
    request, person = one(said, "ServiceRequest"), one(said, "Patient")
    place = f"ServiceRequest/{request['id']}"
    carer = {"resourceType": "Practitioner", "id": "twin", "name": [{"family": "Of a"}]}
    stranger = {**carer, "name": [{"family": "Of b"}]}
    seen: Json = {"resourceType": "Observation", "id": "seen", "status": "final", "code": {"text": "x"}}
    seen |= {"subject": {"reference": f"Patient/{person['id']}"}, "basedOn": [{"reference": place}]}
    seen |= {"performer": [{"reference": "Practitioner/twin"}], "valueQuantity": {"value": 1.5}}
    add(said, f"{B}/Practitioner/twin", {name: value for name, value in stranger.items() if name != "id"})
    add(said, f"{A}/Practitioner/twin", carer)
    add(said, f"{A}/Observation/seen", seen)

    resources_ = recorded(said)

    by_name = {f"{each['resourceType']}/{each['id']}": each for each in resources_}
    written = next(each for each in resources_ if each["resourceType"] == "Observation" and "basedOn" in each)
    assert by_name[written["performer"][0]["reference"]]["name"] == [{"family": "Of a"}]
    assert written["subject"] == {"reference": f"Patient/{AMINA}"}
    # The referral service gives the request its id. The reference follows it.
    assert by_name[written["basedOn"][0]["reference"]]["resourceType"] == "ServiceRequest"


def test_every_resource_that_is_kept_elsewhere_has_its_id_there() -> None:
    body = json.dumps(of_server(A)).encode()
    message = parse_message(body)
    event = statement(decide(Submission("POST", to_collection(body, message.entries, [], {}, REQUEST_ID))))
    owned = {index: f"kept{index}" for index in range(2, len(event.entries))}

    written = record_event(event, owned)

    assert written is not None
    contents = b"".join(entry.content or b"" for entry in written.entries)
    assert not any(event.entries[index].shared_id.encode() in contents for index in owned)
