"""What comes along with a match: `_include` and `_revinclude`.

FHIR R4, http://hl7.org/fhir/R4/search.html#include.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import orjson

from onestory.record.search.filters import ReferenceTarget, target, values
from onestory.shared.fhir.definitions import (
    SearchParameterDefinition,
    outline,
    patient_compartment,
    resource_types,
    search_parameters,
)


class Include(NamedTuple):
    """References of resources of `resource_type`; `target_type` is empty for any."""

    resource_type: str
    parameters: tuple[SearchParameterDefinition, ...]
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


def targets(resource: Mapping[str, Any], includes: Sequence[Include], fhir: str) -> Iterator[ReferenceTarget]:
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


def _references(resource_type: str) -> Mapping[str, SearchParameterDefinition]:
    known = {name: each for name, each in search_parameters(resource_type).items() if each.kind == "reference"}
    of_person = patient_compartment().get(resource_type, ())[:1]
    whose = SearchParameterDefinition("reference", of_person)
    return {**known, "patient": whose, "subject": whose} if of_person else known


# How much of each resource is shown: `_summary` and `_elements`.
#
# FHIR R4, http://hl7.org/fhir/R4/search.html#summary and #elements. What must be there for the resource to be one, and
# what changes its meaning (a status, "do not perform", "refuted"), is never left out. What is shown in part is tagged
# so.

_SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
_ALWAYS = {"resourceType", "id", "meta", "implicitRules", "modifierExtension"}
# The elements at the top of a resource that FHIR R4 calls modifiers, under whichever type.
_CHANGES_MEANING = {
    *("status", "clinicalStatus", "verificationStatus", "lifecycleStatus", "docStatus", "intent", "doNotPerform"),
    *("active", "deceasedBoolean", "deceasedDateTime", "isSubpotent", "mode", "use", "link", "scope", "provision"),
}
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LOCAL_REFERENCE = b'"#'


@dataclass(frozen=True, slots=True)
class Shape:
    """`summary` is a value of `_summary`; `elements` those of `_elements`, where given, which are of matches only."""

    summary: str = "false"
    elements: frozenset[str] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether resources are shown as they are."""
        return self.summary in ("false", "count") and self.elements is None

    @property
    def of_what_comes_along(self) -> Shape:
        """How much is shown of a resource that is included."""
        return Shape(self.summary)


WHOLE = Shape()


def shaped(content: bytes, shape: Shape) -> bytes:
    """The resource, as far as it is to be shown. One that cannot be taken apart is shown whole."""
    if shape.is_whole:
        return content
    try:
        members = _MEMBERS.decode(content)
    except msgspec.DecodeError:
        return content
    wanted = _wanted(members, shape)
    kept = {name: raw for name, raw in members.items() if _is_kept(name, wanted)}
    if "contained" in members and any(_LOCAL_REFERENCE in bytes(raw) for raw in kept.values()):
        kept["contained"] = members["contained"]
    if len(kept) == len(members):
        return content
    return msgspec.json.encode({**kept, "meta": _subsetted(kept.get("meta"))})


def _wanted(members: dict[str, msgspec.Raw], shape: Shape) -> Collection[str]:
    known = outline(msgspec.json.decode(members["resourceType"], type=str))
    required = known.required if known else frozenset()
    if shape.elements is not None:
        return _asked(members, shape.elements) | required if known else members
    match shape.summary:
        case "text":
            return {"text"} | required if known else members
        case "true" if known:
            return known.summary | required
        case _:
            return members.keys() - {"text"}


def _is_kept(name: str, wanted: Collection[str]) -> bool:
    # What begins with an underscore is said of the element of that name: why it is missing, for one.
    element = name.removeprefix("_")
    return element in _ALWAYS or element in _CHANGES_MEANING or element in wanted


def _asked(members: Collection[str], elements: frozenset[str]) -> frozenset[str]:
    """Also `effectiveDateTime`, where `effective` is asked for."""
    return elements | {name for name in members if any(_is_choice(name, element) for element in elements)}


def _is_choice(name: str, element: str) -> bool:
    return name.startswith(element) and name[len(element) :][:1].isupper()


def _subsetted(meta: msgspec.Raw | None) -> dict[str, Any]:
    decoded = orjson.loads(bytes(meta)) if meta else {}
    known = decoded if isinstance(decoded, dict) else {}
    tags = known.get("tag")
    return {**known, "tag": [*(tags if isinstance(tags, list) else ()), _SUBSETTED]}
