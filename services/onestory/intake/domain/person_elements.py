"""The elements of a resource that name the person whom it is about, and what FHIR allows in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onestory.intake.domain.item import Item, parse_relative_reference, shared_ids_in
from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.definitions import patient_compartment, resource_types, subject_types
from onestory.shared.fhir.references import type_name
from onestory.shared.identity import parse_shared_id

BINARY = "Binary"
STANDS_FOR_PERSON = {"Group": ("member", "entity"), "Device": ("patient",)}
"""Types that a subject may name instead of the Patient, each with the element that names the person, as steps."""
PEOPLE = frozenset({"Patient", "Group", "Person", "Practitioner", "PractitionerRole", "RelatedPerson"})
"""Types that are people. A statement about them is in no Patient's record because it came with that Patient."""

# Coverage is in the record of its beneficiary and of its subscriber (http://hl7.org/fhir/R4/coverage.html). So an
# unknown beneficiary is no reason to refuse it when the subscriber is known.
MAY_NAME_ANOTHER = {("Coverage", "beneficiary")}
LEADS_NOWHERE = (
    "This leads to no person that the record knows (yet). Include the Patient in the submission, publish it before "
    "this, reference Patient/<NHS number>, or send an identifier with the NHS number."
)
ABOUT_OTHERS = (
    "This leads to no Patient that the record knows, but to other people. Refer to the Patient here, and to the others "
    "in another element."
)
NUMBER_OF_TWO = (
    "This is an NHS number, and your own Patient with this id is another person. For the person with this NHS number, "
    "send an identifier with the number and no reference. For your Patient, include it in the Bundle."
)
NO_OWN_PATIENT = (
    "You have no current Patient with this id in the record (yet). The id in a DELETE is the id in your own system, "
    "never an NHS number. Send the id with which you published the Patient."
)
SEVERAL_PERSONS = (
    "A resource must be about one person. This has several, or one whom the record does not know (yet). Refer to the "
    "Patient."
)
IDENTIFIER_OF_TWO = (
    "In the record this identifier is another person's: your earlier Patient has it. Refer to the Patient by its "
    "fullUrl, or by NHS number. To move the identifier, publish that Patient without it first."
)


def person_elements(resource_type: str) -> tuple[tuple[str, ...], ...]:
    """Return the paths of the elements that name the person, as steps. An earlier path takes precedence."""
    # Binary is in no compartment. Its securityContext names whose it is (http://hl7.org/fhir/R4/binary.html).
    return (("securityContext",),) if resource_type == BINARY else patient_compartment().get(resource_type, ())


def references_at(value: Any, steps: tuple[str, ...], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the References at the end of the steps, each with its FHIRPath. `value` is the first step's element."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from references_at(item, steps, f"{path}[{index}]")
    elif len(steps) > 1 and isinstance(value, dict) and steps[1] in value:
        yield from references_at(value[steps[1]], steps[1:], f"{path}.{steps[1]}")
    elif len(steps) == 1 and isinstance(value, dict):
        yield path, value


def may_be_patient(stated_type: str | None, *, assumed: bool) -> bool:
    """Return whether a Reference with this Reference.type is to a Patient. Without a type it is as `assumed`.

    The type may be a name or the URL of its definition (http://hl7.org/fhir/R4/references.html#type).
    """
    return assumed if stated_type is None else type_name(stated_type) == "Patient"


def refuse_other_type(resource_type: str, item: Item, path: str) -> None:
    """Raise `Unprocessable` when the subject of an item is of a type that FHIR forbids there."""
    allowed = subject_types().get(item.resource_type)
    if allowed is not None and resource_type not in allowed:
        text = f"This leads to a {resource_type}. FHIR R4 allows only {' or '.join(sorted(allowed))} here."
        raise Unprocessable(text, code="value", expression=path)


def type_of_thing(reference: str) -> str:
    """Return the type in a relative reference that leads out of the submission, or an empty string.

    A shared id may lead to the device of another person, so it says nothing.
    """
    target = parse_relative_reference(reference)
    return target[0] if target and target[0] in resource_types() and not parse_shared_id(target[1]) else ""


def ids_in_security_context(item: Item) -> set[str]:
    """Return the shared ids in the securityContext of a Binary. The decision looks them up in the record."""
    raw = item.members.get("securityContext") if item.resource_type == BINARY else None
    return shared_ids_in(raw) if raw is not None else set()
