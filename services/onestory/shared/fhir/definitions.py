"""What we need of the FHIR R4 definitions, as data: `schemas/fhir/`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import fhirkit
import yaml

from onestory.shared.kafka.schemas import folder


@dataclass(frozen=True, slots=True)
class Definitions:
    """`schemas/fhir/elements.json`.

    `codes` has the codes of each value set that some element requires. `concepts` has, for an element of type
    CodeableConcept (`Condition.clinicalStatus`), the `system|code` pairs of which it must hold one. `types` has, for
    each type and backbone element (`Patient.contact`), what its elements are: another type, `code:<value set>`,
    `decimal`, or `*` for any resource; `[]` at the end for what repeats.
    """

    codes: Mapping[str, tuple[str, ...]]
    concepts: Mapping[str, frozenset[str]]
    types: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class SearchParameterDefinition:
    """A search parameter: its kind (token, date, reference, string), and the elements that it looks at, as steps."""

    kind: str
    elements: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """What is left of a resource in brief: the elements that FHIR has in its summary, and those that it must have."""

    summary: frozenset[str]
    required: frozenset[str]


@dataclass(frozen=True, slots=True)
class Operated:
    """A type that is changed by operations: the interactions that are refused, and what to do instead."""

    refused: frozenset[str]
    instead: str


@cache
def definitions() -> Definitions:
    """The definitions, read once."""
    raw = json.loads((folder() / "fhir" / "elements.json").read_text())
    return Definitions(
        codes={name: tuple(codes) for name, codes in raw["codes"].items()},
        concepts={path: frozenset(pairs) for path, pairs in raw["concepts"].items()},
        types=raw["types"],
    )


@cache
def resource_types() -> frozenset[str]:
    """The resource types of FHIR R4."""
    return frozenset(fhirkit.RESOURCE_TYPES)


@cache
def patient_compartment() -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """Type to the elements that say whose it is, in the order in which they decide, each as its steps."""
    table = _yaml("patient-compartment.yaml")
    return {kind: _steps(paths) for kind, paths in table.items()}


@cache
def is_about_a_person(resource_type: str) -> bool:
    """Whether a resource of this type belongs to one person; else it may come with the statements of several."""
    return resource_type == "Patient" or resource_type in patient_compartment()


@cache
def directory_types() -> frozenset[str]:
    """Types that may be published about no person."""
    return frozenset(_yaml("directory-types.yaml"))


@cache
def refused_types() -> Mapping[str, str]:
    """Types that are no statement, with what to do instead."""
    return {kind: why for group in _yaml("refused-types.yaml") for kind, why in _each(group)}


@cache
def operated_types() -> Mapping[str, Operated]:
    """Types whose resources are a referral's when they are sent by themselves."""
    table = _yaml("operated-types.yaml")
    return {kind: Operated(frozenset(each["refused"]), each["instead"]) for kind, each in table.items()}


@cache
def instance_identifier_systems() -> frozenset[str]:
    """Identifier systems whose values name one resource."""
    return frozenset(_yaml("instance-identifiers.yaml"))


@cache
def search_parameters(resource_type: str) -> Mapping[str, SearchParameterDefinition]:
    """The search parameters of a type by name, but for those that name the person."""
    table = _yaml("search-parameters.yaml")
    known = {**table["Resource"], **table.get(resource_type, {})}
    return {name: SearchParameterDefinition(kind, _steps(paths)) for name, (kind, *paths) in sorted(known.items())}


@cache
def outline(resource_type: str) -> Outline | None:
    """What a summary of this type consists of; None where that is not known."""
    found = _yaml("summary-elements.yaml").get(resource_type)
    return found and Outline(frozenset(found.get("summary", ())), frozenset(found.get("required", ())))


def element_type(resource_type: str, steps: Iterable[str]) -> str:
    """What an element is: another type, `code:<value set>`, or an empty string for a string, date or number."""
    types, kind = definitions().types, resource_type
    for step in steps:
        kind = types.get(kind, {}).get(step, "").removesuffix("[]")
    return kind


def _steps(paths: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(path.split(".")) for path in paths)


def _each(group: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(kind, group["instead"]) for kind in group["types"]]


@cache
def _yaml(name: str) -> Any:
    return yaml.safe_load((folder() / "fhir" / name).read_text())
