"""Included resources (`_include`, `_revinclude`), and how much of each resource is shown (`_summary`, `_elements`).

FHIR R4, http://hl7.org/fhir/R4/search.html#include, #summary and #elements.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import orjson

from onestory.record.search.filters import ReferenceTarget, element_values, reference_target
from onestory.shared.fhir.definitions import (
    SearchParameterDefinition,
    patient_compartment,
    resource_types,
    search_parameters,
    summary_elements,
)


class Include(NamedTuple):
    """References in resources of `resource_type`. `target_type` is empty for any type."""

    resource_type: str
    parameters: tuple[SearchParameterDefinition, ...]
    target_type: str

    @property
    def is_provenance_of_target(self) -> bool:
        """Whether this is `Provenance:target`, which also includes the computed Provenance of statements."""
        return self.resource_type == "Provenance" and search_parameters("Provenance")["target"] in self.parameters


def parse_include(text: str, resource_type: str) -> Include | None:
    """The include in `[type]:[parameter]`, `[type]:[parameter]:[target type]` or `*`; None if it is not supported.

    `*` means all references of `resource_type`.
    """
    source, _, rest = (f"{resource_type}:*" if text == "*" else text).partition(":")
    name, _, target_type = rest.partition(":")
    known = _reference_parameters(source) if source in resource_types() else {}
    parameters = tuple(known.values()) if name == "*" else tuple(known[each] for each in [name] if each in known)
    if not parameters or (target_type and target_type not in resource_types()):
        return None
    return Include(source, parameters, target_type)


def included_targets(resource: Mapping[str, Any], includes: Sequence[Include], fhir: str) -> Iterator[ReferenceTarget]:
    """The targets of the resource's references that these includes select. `fhir` is the FHIR base URL."""
    for include in includes:
        if resource["resourceType"] != include.resource_type:
            continue
        for parameter in include.parameters:
            for value in element_values(resource, parameter):
                target = reference_target(value.get("reference"), fhir) if isinstance(value, dict) else None
                if target and include.target_type in ("", target.resource_type):
                    yield target


def include_values(resource_type: str) -> list[str]:
    """The supported values of `_include` in a search for this type, for the CapabilityStatement."""
    return [f"{resource_type}:{name}" for name in sorted(_reference_parameters(resource_type))]


def revinclude_values(resource_type: str) -> list[str]:
    """Values of `_revinclude` in a search for this type: `Provenance:target`, and parameters named like the type."""
    name = resource_type.lower()
    sources = [source for source in sorted(resource_types()) if name in search_parameters(source)]
    return ["Provenance:target", *[f"{source}:{name}" for source in sources]]


def _reference_parameters(resource_type: str) -> Mapping[str, SearchParameterDefinition]:
    definitions = search_parameters(resource_type)
    known = {name: definition for name, definition in definitions.items() if definition.kind == "reference"}
    patient_elements = patient_compartment().get(resource_type, ())[:1]
    patient = SearchParameterDefinition("reference", patient_elements)
    return {**known, "patient": patient, "subject": patient} if patient_elements else known


_SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
_BASE_ELEMENTS = {"resourceType", "id", "meta", "implicitRules", "modifierExtension"}
# Elements at the top of a resource that FHIR R4 marks as modifiers, in any type.
_MODIFIER_ELEMENTS = {
    *("status", "clinicalStatus", "verificationStatus", "lifecycleStatus", "docStatus", "intent", "doNotPerform"),
    *("active", "deceasedBoolean", "deceasedDateTime", "isSubpotent", "mode", "use", "link", "scope", "provision"),
}
_elements_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LOCAL_REFERENCE = b'"#'


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of each resource is shown.

    `summary` is a value of `_summary`. `elements` are those of `_elements`, which apply to matches only, or None.
    """

    summary: str = "false"
    elements: frozenset[str] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether resources are shown as they are."""
        return self.summary in ("false", "count") and self.elements is None

    @property
    def for_included(self) -> Shape:
        """The shape of included resources."""
        return Shape(self.summary)


WHOLE = Shape()


def apply_shape(content: bytes, shape: Shape) -> bytes:
    """The resource with the elements of the shape, tagged SUBSETTED if any is left out.

    Mandatory elements and modifiers (a status, `doNotPerform`, "refuted") are never left out. A resource that cannot be
    decoded is returned whole.
    """
    if shape.is_whole:
        return content
    try:
        elements = _elements_decoder.decode(content)
    except msgspec.DecodeError:
        return content
    selected = _shown_elements(elements, shape)
    shown = {name: raw for name, raw in elements.items() if _is_shown(name, selected)}
    if "contained" in elements and any(_LOCAL_REFERENCE in bytes(raw) for raw in shown.values()):
        shown["contained"] = elements["contained"]
    if len(shown) == len(elements):
        return content
    return msgspec.json.encode({**shown, "meta": _subsetted(shown.get("meta"))})


def _shown_elements(elements: dict[str, msgspec.Raw], shape: Shape) -> Collection[str]:
    known = summary_elements(msgspec.json.decode(elements["resourceType"], type=str))
    required = known.required if known else frozenset()
    if shape.elements is not None:
        return _with_choice_types(elements, shape.elements) | required if known else elements
    match shape.summary:
        case "text":
            return {"text"} | required if known else elements
        case "true" if known:
            return known.summary | required
        case _:
            return elements.keys() - {"text"}


def _is_shown(name: str, selected: Collection[str]) -> bool:
    # `_birthDate` describes the element `birthDate`: it may say why the value is missing.
    element = name.removeprefix("_")
    return element in _BASE_ELEMENTS or element in _MODIFIER_ELEMENTS or element in selected


def _with_choice_types(present: Collection[str], requested: frozenset[str]) -> frozenset[str]:
    """The requested elements, and `effectiveDateTime` where `effective` is requested."""
    return requested | {name for name in present if any(_is_choice(name, element) for element in requested)}


def _is_choice(name: str, element: str) -> bool:
    return name.startswith(element) and name[len(element) :][:1].isupper()


def _subsetted(meta: msgspec.Raw | None) -> dict[str, Any]:
    decoded = orjson.loads(bytes(meta)) if meta else {}
    known = decoded if isinstance(decoded, dict) else {}
    tags = known.get("tag")
    return {**known, "tag": [*(tags if isinstance(tags, list) else ()), _SUBSETTED]}
