"""How much of each resource is shown: `_summary` and `_elements`.

FHIR R4, http://hl7.org/fhir/R4/search.html#summary and #elements. What must be there for the resource to be one, and
what changes its meaning (a status, "do not perform", "refuted"), is never left out. What is shown in part is tagged so.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from onestory.shared.fhir.definitions import outline

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
