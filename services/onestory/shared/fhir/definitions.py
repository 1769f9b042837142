"""The parts of the FHIR R4 definitions that OneStory needs, read from the data files in `schemas/fhir/`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import fhirkit
import yaml

from onestory.shared.kafka.schemas import schemas_folder


@dataclass(frozen=True, slots=True)
class Definitions:
    """The content of `schemas/fhir/elements.json`.

    - `codes`: the codes of each value set with a required binding.
    - `concepts`: for a CodeableConcept with a required binding (`Condition.clinicalStatus`), the `system|code` pairs.
      The element must hold one of them.
    - `types`: for each type and backbone element (`Patient.contact`), the type of each element: another type,
      `code:<value set>`, `decimal`, or `*` for any resource. `[]` at the end marks an element that repeats.
    """

    codes: Mapping[str, tuple[str, ...]]
    concepts: Mapping[str, frozenset[str]]
    types: Mapping[str, Mapping[str, str]]


Steps = tuple[str, ...]
"""The path of an element: the names on the way to it."""


@dataclass(frozen=True, slots=True)
class SearchParameterDefinition:
    """A search parameter: its kind (token, date, reference, string, uri, quantity, number), and its elements."""

    kind: str
    elements: tuple[Steps, ...]


@dataclass(frozen=True, slots=True)
class CareDates:
    """The elements that say when care took place: `at` the whole time, or else its `begin` and `end`.

    Care without an end goes on. If `open_while` is not empty, it goes on only in these states.
    """

    at: tuple[Steps, ...]
    begin: tuple[Steps, ...]
    end: tuple[Steps, ...]
    open_while: frozenset[str]


@dataclass(frozen=True, slots=True)
class SummaryElements:
    """The elements that `_summary` shows: those that FHIR marks as summary, and those that a resource must have."""

    summary: frozenset[str]
    required: frozenset[str]


@dataclass(frozen=True, slots=True)
class OperationOnlyType:
    """A type that is changed by operations only: the refused interactions, and the advice what to do instead."""

    refused: frozenset[str]
    instead: str


@cache
def definitions() -> Definitions:
    """Return the definitions. The file is read once."""
    raw = json.loads((schemas_folder() / "fhir" / "elements.json").read_text())
    return Definitions(
        codes={name: tuple(codes) for name, codes in raw["codes"].items()},
        concepts={path: frozenset(pairs) for path, pairs in raw["concepts"].items()},
        types=raw["types"],
    )


@cache
def resource_types() -> frozenset[str]:
    """Return the resource types of FHIR R4."""
    return frozenset(fhirkit.RESOURCE_TYPES)


@cache
def patient_compartment() -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """Return, for each type, the paths that name its person, as steps. An earlier path takes precedence."""
    table = _yaml("patient-compartment.yaml")
    return {kind: _steps(paths) for kind, paths in table.items()}


@cache
def subject_types() -> Mapping[str, frozenset[str]]:
    """Return, by type, the types to which its element that names the person may refer. Any, for a type not in it."""
    groups = _yaml("subject-types.yaml")
    return {kind: frozenset(group["allowed"]) for group in groups for kind in group["types"]}


@cache
def link_elements() -> Mapping[str, Mapping[str, str]]:
    """Return, by type, the elements that may link to an entry of a Bundle, each with `uri` or `url`."""
    by_type: dict[str, dict[str, str]] = {}
    for link, types in _yaml("link-elements.yaml").items():
        for kind, names in types.items():
            by_type.setdefault(kind, {}).update(dict.fromkeys(names, link))
    return by_type


@cache
def is_about_a_person(resource_type: str) -> bool:
    """Return whether a resource of this type belongs to one person. Other types may come with any person's event."""
    return resource_type == "Patient" or resource_type in patient_compartment()


@cache
def directory_types() -> frozenset[str]:
    """Return the types that may be published about no person."""
    return frozenset(_yaml("directory-types.yaml"))


@cache
def refused_types() -> Mapping[str, str]:
    """Return the types that cannot be published, each with the advice what to do instead."""
    return {kind: group["instead"] for group in _yaml("refused-types.yaml") for kind in group["types"]}


@cache
def operation_only_types() -> Mapping[str, OperationOnlyType]:
    """Return the types that belong to a referral when they are sent alone, so operations change them."""
    table = _yaml("operated-types.yaml")
    return {kind: OperationOnlyType(frozenset(row["refused"]), row["instead"]) for kind, row in table.items()}


@cache
def instance_identifier_systems() -> frozenset[str]:
    """Return the identifier systems in which one value names one resource."""
    table = _yaml("instance-identifiers.yaml")
    return frozenset([*table["systems"], *table["other_spellings"]])


def canonical_identifier_system(system: str) -> str:
    """Return the usual spelling of an identifier system."""
    spelling: str = _yaml("instance-identifiers.yaml")["other_spellings"].get(system, system)
    return spelling


@cache
def search_parameters(resource_type: str) -> Mapping[str, SearchParameterDefinition]:
    """Return the search parameters of a type by name, without those that name the person."""
    table = _yaml("search-parameters.yaml")
    known = {**table["Resource"], **table.get(resource_type, {})}
    return {name: SearchParameterDefinition(kind, _steps(paths)) for name, (kind, *paths) in sorted(known.items())}


@cache
def care_dates() -> Mapping[str, CareDates]:
    """Return, for each type that has them, the elements that say when care took place."""
    return {kind: _care_dates(row) for kind, row in _yaml("care-dates.yaml").items()}


@cache
def summary_elements(resource_type: str) -> SummaryElements | None:
    """Return the elements that `_summary` shows of this type, or None when they are not known."""
    row = _yaml("summary-elements.yaml").get(resource_type)
    return row and SummaryElements(frozenset(row.get("summary", ())), frozenset(row.get("required", ())))


def element_type(resource_type: str, steps: Iterable[str]) -> str:
    """Return the type of an element: another type, `code:<value set>`, or "" for a string, date or number."""
    types, kind = definitions().types, resource_type
    for step in steps:
        kind = types.get(kind, {}).get(step, "").removesuffix("[]")
    return kind


def _care_dates(row: Mapping[str, Sequence[str]]) -> CareDates:
    at, begin, end = (_steps(row.get(name, ())) for name in ("at", "begin", "end"))
    return CareDates(at, begin, end, frozenset(row.get("open-while", ())))


def _steps(paths: Iterable[str]) -> tuple[Steps, ...]:
    return tuple(tuple(path.split(".")) for path in paths)


@cache
def _yaml(name: str) -> Any:
    return yaml.safe_load((schemas_folder() / "fhir" / name).read_text())
