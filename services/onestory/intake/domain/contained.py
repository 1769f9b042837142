"""The contained resources of one item, and the references to them (http://hl7.org/fhir/R4/references.html#contained)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from onestory.intake.domain.item import Item
from onestory.shared.errors import Unprocessable


@dataclass(frozen=True, slots=True)
class ContainedResource:
    """One contained resource with its FHIRPath."""

    resource_type: str
    path: str
    members: dict[str, Any]


class ContainedResources:
    """The contained resources of one item by id. They are parsed once."""

    def __init__(self, item: Item) -> None:
        self._by_id: dict[str, list[ContainedResource]] = {}
        for index, resource in enumerate(msgspec.json.decode(item.members.get("contained", b"[]"))):
            contained = ContainedResource(resource["resourceType"], f"{item.path}.contained[{index}]", resource)
            self._by_id.setdefault(str(resource.get("id")), []).append(contained)

    def find(self, reference: str) -> ContainedResource | None:
        """Return the resource that `#id` names. None for `#`, which names the resource that contains the others.

        Raises `Unprocessable` when there is no such resource, and when there are several.
        """
        if reference == "#":
            return None
        found = self._by_id.get(reference[1:])
        if found is None:
            raise Unprocessable("No contained resource has this id. Include it, or send Type/id.", code="not-found")
        if len(found) > 1:
            text = "Several contained resources have this id. Give each its own id."
            raise Unprocessable(text, code="multiple-matches")
        return found[0]
