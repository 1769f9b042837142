"""The references of a document: what is included because of them, and what becomes of one that leads nowhere. Pure.

A reference leads somewhere if the caller sees its target, in the person's record or in the directory. Any other one
would dangle: the Reference keeps its `identifier` and `display`, and loses `reference`
(http://hl7.org/fhir/R4/references.html#Reference).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from onestory.record.summary.model import SummaryRecord
from onestory.shared.fhir.references import literal_references, references_in
from onestory.shared.identity import is_directory_id, parse_shared_id

_INCLUDED_TYPES = frozenset(
    [
        "BodyStructure",
        "Device",
        "Location",
        "Medication",
        "Organization",
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
        "Specimen",
        "Substance",
    ]
)
"""Types that are included because other resources refer to them. Clinical resources are included only by a section."""
# A reference to the person is needed, whichever of the person's ids it has.
_ALWAYS_KEPT = "Patient"

_RELATIVE = re.compile(r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9.-]{1,64})(/_history/.*)?")
_ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}

_decoder = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


class IncludedResources:
    """The resources of a document: those that its sections list, and those that they refer to."""

    def __init__(self, record: SummaryRecord) -> None:
        self._record = record
        self._base_url = record.input.base_url

    def include(self, listed: Iterable[str], patient: bytes) -> dict[str, tuple[str, bytes]]:
        """Type and bytes by shared id: the listed ones first, then what they and the Patient refer to."""
        found: dict[str, tuple[str, bytes]] = {}
        queue = list(dict.fromkeys([*listed, *self._followed(patient)]))
        while queue:
            further: list[str] = []
            for shared_id in queue:
                resource = self._record.resource(shared_id) if shared_id not in found else None
                if resource is not None:
                    found[shared_id] = (resource[0], self.without_dangling(resource[1]))
                    further += self._followed(resource[1])
            queue = further
        return found

    def without_dangling(self, content: bytes) -> bytes:
        """The resource; references to an earlier id have the current one, and those that lead nowhere are dropped.

        A resource in which nothing changes keeps its bytes.
        """
        changed = {
            (kind, target_id): current
            for kind, target_id in literal_references([content], self._base_url)
            if _is_id_here(kind, target_id) and (current := self._record.lookup.current_id(target_id)) != target_id
        }
        return _rewritten(content, self._base_url, changed) if changed else content

    def _followed(self, content: bytes) -> list[str]:
        references = literal_references([content], self._base_url)
        targets = [target_id for kind, target_id in references if kind in _INCLUDED_TYPES]
        return sorted({current for each in targets if (current := self._record.lookup.current_id(each))})


def _is_id_here(resource_type: str, target_id: str) -> bool:
    if resource_type == _ALWAYS_KEPT:
        return False
    return is_directory_id(target_id) or parse_shared_id(target_id) is not None


def _rewritten(content: bytes, base_url: str, changed: Mapping[tuple[str, str], str | None]) -> bytes:
    resource, rewritten = _decoder.decode(content), False
    for found in list(references_in(resource, "")):
        match = _RELATIVE.fullmatch(str(found.members["reference"]).removeprefix(f"{base_url}/"))
        if match and found.is_reference and (target := (match["type"], match["id"])) in changed:
            _rewrite(found.members, match["type"], changed[target])
            rewritten = True
    return _encoder.encode(resource) if rewritten else content


def _rewrite(reference: Any, resource_type: str, current: str | None) -> None:
    if current is not None:
        reference["reference"] = f"{resource_type}/{current}"
        return
    del reference["reference"]
    reference.setdefault("type", resource_type)
    if "identifier" not in reference and "display" not in reference:
        # A Reference needs one of its elements, or the reason why it has none.
        reference["extension"] = [*reference.get("extension", ()), _ABSENT]
