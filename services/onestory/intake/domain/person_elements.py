"""The elements of a resource that name the person whom it is about, and what FHIR allows in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onestory.intake.domain.item import Item, shared_ids_in
from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.definitions import patient_compartment, subject_types

BINARY = "Binary"


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


def refuse_other_type(resource_type: str, item: Item, path: str) -> None:
    """Raise `Unprocessable` when the subject of an item is of a type that FHIR forbids there."""
    allowed = subject_types().get(item.resource_type)
    if allowed is not None and resource_type not in allowed:
        text = f"This leads to a {resource_type}. FHIR R4 allows only {' or '.join(sorted(allowed))} here."
        raise Unprocessable(text, code="value", expression=path)


def ids_in_security_context(item: Item) -> set[str]:
    """Return the shared ids in the securityContext of a Binary. The decision looks them up in the record."""
    raw = item.members.get("securityContext") if item.resource_type == BINARY else None
    return shared_ids_in(raw) if raw is not None else set()
