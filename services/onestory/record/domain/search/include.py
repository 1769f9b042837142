"""What comes along with a match: `_include` and `_revinclude`.

FHIR R4, http://hl7.org/fhir/R4/search.html#include.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from onestory.record.domain.search.reference import Target, target
from onestory.record.domain.search.values import values
from onestory.shared.fhir.definitions import SearchParameter, patient_compartment, resource_types, search_parameters


class Include(NamedTuple):
    """References of resources of `resource_type`; `target_type` is empty for any."""

    resource_type: str
    parameters: tuple[SearchParameter, ...]
    target_type: str

    @property
    def is_provenance_of_target(self) -> bool:
        """Whether this is `Provenance:target`, which also means the Provenance that follows from statements."""
        return self.resource_type == "Provenance" and search_parameters("Provenance")["target"] in self.parameters


def include(text: str, resource_type: str) -> Include | None:
    """What `[type]:[parameter]`, `[type]:[parameter]:[target type]` or `*` asks for; None where that is not known.

    `resource_type` is what `*` alone stands for.
    """
    source, _, rest = (f"{resource_type}:*" if text == "*" else text).partition(":")
    name, _, target_type = rest.partition(":")
    known = _references(source) if source in resource_types() else {}
    parameters = tuple(known.values()) if name == "*" else tuple(known[each] for each in [name] if each in known)
    if not parameters or (target_type and target_type not in resource_types()):
        return None
    return Include(source, parameters, target_type)


def targets(resource: Mapping[str, Any], includes: Sequence[Include], fhir: str) -> Iterator[Target]:
    """Where the resource's references lead, of those that are asked for. `fhir` is the FHIR base URL."""
    for each in includes:
        if resource["resourceType"] != each.resource_type:
            continue
        for parameter in each.parameters:
            for value in values(resource, parameter):
                found = target(value.get("reference"), fhir) if isinstance(value, dict) else None
                if found and each.target_type in ("", found.resource_type):
                    yield found


def known(resource_type: str) -> list[str]:
    """The values of `_include` in a search for this type."""
    return [f"{resource_type}:{name}" for name in sorted(_references(resource_type))]


def known_to(resource_type: str) -> list[str]:
    """The values of `_revinclude` in a search for this type that its name suggests."""
    name = resource_type.lower()
    by_name = [each for each in sorted(resource_types()) if name in search_parameters(each)]
    return ["Provenance:target", *[f"{each}:{name}" for each in by_name]]


def _references(resource_type: str) -> Mapping[str, SearchParameter]:
    known = {name: each for name, each in search_parameters(resource_type).items() if each.kind == "reference"}
    of_person = patient_compartment().get(resource_type, ())[:1]
    whose = SearchParameter("reference", of_person)
    return {**known, "patient": whose, "subject": whose} if of_person else known
