"""The work of intake grows with the size of a submission, and not with its square.

The tests count calls and parsed bytes, which do not depend on the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec
import pytest
from tests.people import patient, transaction
from tests.unit.intake.door import AMINA, Json, decide, post, refused

from onestory.intake.domain import supporting
from onestory.shared.identity import NHS_NUMBER_SYSTEM

SIZE = 150
ABOUT = {"reference": f"Patient/{AMINA}"}


class Work:
    """Counts the calls of functions, and the bytes that are parsed, while intake decides about a submission."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.parsed = 0
        decode = msgspec.json.decode

        def counted(raw: Any, **options: Any) -> Any:
            self.parsed += len(raw)
            return decode(raw, **options)

        monkeypatch.setattr(msgspec.json, "decode", counted)

    def of(self, bundle: Json) -> tuple[int, int]:
        """Return the calls, and the bytes, that this Bundle takes."""
        submission = post(bundle)
        self.calls = self.parsed = 0
        before = sys.getprofile()
        sys.setprofile(self._count)
        try:
            decide(submission)
        finally:
            sys.setprofile(before)
        return self.calls, self.parsed

    def _count(self, frame: FrameType, event: str, argument: object) -> None:
        self.calls += event in ("call", "c_call")


def batch(*resources: Json) -> Json:
    return transaction(*resources) | {"type": "batch"}


def flag(local_id: str, **elements: Any) -> Json:
    return {"resourceType": "Flag", "id": local_id, "status": "active", "code": {"text": "x"}, **elements}


def listed(references: list[str], **elements: Any) -> Json:
    entries = [{"item": {"reference": reference}} for reference in references]
    return {"resourceType": "List", "id": "l", "status": "current", "mode": "working", "entry": entries, **elements}


def people_by_identifier(size: int) -> Json:
    people = [
        {"resourceType": "Patient", "id": f"p{at}", "identifier": [{"system": "urn:x", "value": str(at)}]}
        for at in range(size)
    ]
    flags = [
        flag(f"f{at}", subject={"identifier": {"system": "urn:x", "value": str(size - 1)}, "display": str(at)})
        for at in range(size)
    ]
    return batch(*people, *flags)


def one_identifier_of_many_patients(size: int) -> Json:
    number = {"system": NHS_NUMBER_SYSTEM, "value": AMINA}
    people = [
        {"resourceType": "Patient", "id": f"p{at}", "identifier": [number, {"system": "u", "value": "1"}]}
        for at in range(size)
    ]
    flags = [
        flag(f"f{at}", subject={"identifier": {"system": "u", "value": "1"}, "display": str(at)}) for at in range(size)
    ]
    return batch(*people, *flags)


def contained_patients(size: int) -> Json:
    number = {"system": NHS_NUMBER_SYSTEM, "value": AMINA}
    held = [{"resourceType": "Patient", "id": f"p{at}", "identifier": [number]} for at in range(size)]
    there = [{"actor": {"reference": f"#p{size - 1 - at}"}, "status": "accepted"} for at in range(size)]
    return transaction(
        {"resourceType": "Appointment", "id": "a", "status": "booked", "contained": held, "participant": there}
    )


def contained_medicines(size: int) -> Json:
    held = [{"resourceType": "Medication", "id": f"m{at}", "code": {"text": "x"}} for at in range(size)]
    return transaction(listed([f"#m{at}" for at in range(size)], subject=ABOUT, contained=held))


def entries_of_one_person(size: int) -> Json:
    flags = [
        flag(f"f{at}", subject={"reference": "Patient/p"}, encounter={"reference": f"Encounter/e{(at * 7) % size}"})
        for at in range(size)
    ]
    visits = [
        {"resourceType": "Encounter", "id": f"e{at}", "status": "finished", "class": {"code": "AMB"}}
        | {"subject": {"reference": "Patient/p"}}
        for at in range(size)
    ]
    return batch(patient(AMINA, "p"), *flags, *visits)


def references_that_lead_nowhere(size: int) -> Json:
    return batch(*(flag(f"f{at}", subject=ABOUT, encounter={"reference": f"urn:uuid:{at}"}) for at in range(size)))


def one_reference_that_leads_nowhere(size: int) -> Json:
    return batch(listed([*(f"Observation/{at}" for at in range(size)), "urn:uuid:x"], subject=ABOUT))


def logical_references(size: int) -> Json:
    return transaction(listed([f"Observation?identifier=a|{at}" for at in range(size)], subject=ABOUT))


def expressions(size: int) -> Json:
    extension = [
        {"url": "http://x.example/e"}
        | {"valueExpression": {"language": "text/cql", "expression": "1", "reference": f"http://x.example/{at}"}}
        for at in range(size)
    ]
    return transaction(flag("f", subject=ABOUT, extension=extension))


def one_name_of_many_entries(size: int) -> Json:
    people = [
        {"fullUrl": f"http://s{at}.example/Patient/1", "request": {"method": "POST", "url": "Patient"}}
        | {"resource": {"resourceType": "Patient", "name": [{"family": str(at)}]}}
        for at in range(size)
    ]
    flags = [
        {"resource": flag(f"f{at}", subject={"reference": "Patient/1"}), "request": {"method": "POST", "url": "Flag"}}
        for at in range(size)
    ]
    return {"resourceType": "Bundle", "type": "batch", "entry": [*people, *flags]}


def many_links(size: int) -> Json:
    html = "".join(f"<a href='Binary/b{at}'>x</a><a href='" for at in range(size))
    text = {"status": "generated", "div": f"<div xmlns='http://www.w3.org/1999/xhtml'>{html}</div>"}
    binaries = [{"resourceType": "Binary", "id": f"b{at}", "contentType": "text/plain"} for at in range(size)]
    urls = [{"attachment": {"url": f"Binary/b{at}"}} for at in range(size)]
    document = {"resourceType": "DocumentReference", "id": "d", "status": "current", "subject": ABOUT}
    return transaction(*binaries, {**document, "content": urls, "text": text})


def binaries_that_name_each_other(size: int) -> Json:
    return batch(
        *(
            {"resourceType": "Binary", "id": f"b{at}", "contentType": "text/plain"}
            | {"securityContext": {"reference": f"Binary/b{(at + 1) % size}"}}
            for at in range(size)
        )
    )


SHAPES = [
    people_by_identifier,
    one_identifier_of_many_patients,
    contained_patients,
    contained_medicines,
    entries_of_one_person,
    references_that_lead_nowhere,
    one_reference_that_leads_nowhere,
    logical_references,
    expressions,
    one_name_of_many_entries,
    many_links,
    binaries_that_name_each_other,
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_twice_the_entries_take_twice_the_work(shape: Callable[[int], Json], monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(monkeypatch)
    work.of(shape(2))  # fills caches

    calls, parsed = work.of(shape(SIZE))
    more_calls, more_parsed = work.of(shape(2 * SIZE))

    assert more_calls < 2.2 * calls
    assert more_parsed < 2.2 * parsed


def chain(people: int, organisations: int) -> Json:
    first = {"managingOrganization": {"reference": "Organization/o0"}}
    patients = [
        {"resourceType": "Patient", "id": f"p{at}", "identifier": [{"system": "urn:x", "value": str(at)}], **first}
        for at in range(people)
    ]
    return batch(
        *patients,
        *(
            {"resourceType": "Organization", "id": f"o{at}", "name": "x"}
            | ({"partOf": {"reference": f"Organization/o{at + 1}"}} if at + 1 < organisations else {})
            for at in range(organisations)
        ),
    )


def test_a_batch_is_refused_that_would_copy_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supporting, "MAX_COPIES", 40)
    monkeypatch.setattr(supporting, "MAX_STEPS", 400)

    assert len(decide(post(chain(4, 10))).events) == 4
    assert refused(post(chain(5, 10))).issues[0].code == "too-costly"


def test_a_batch_is_refused_whose_references_take_too_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supporting, "MAX_STEPS", 30)

    assert refused(post(chain(4, 10))).issues[0].code == "too-costly"


def test_a_batch_is_refused_that_would_copy_too_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supporting, "MAX_COPIED_BYTES", 10_000)
    practice = {"resourceType": "Organization", "id": "o0", "name": "x", "alias": ["y" * 3_000]}
    said = chain(4, 0)
    entry = {"resource": practice, "request": {"method": "PUT", "url": "Organization/o0"}}

    assert refused(post({**said, "entry": [*said["entry"], entry]})).issues[0].code == "too-costly"
    assert len(decide(post({**said, "entry": [*said["entry"][:3], entry]})).events) == 3
