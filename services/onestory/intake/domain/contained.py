"""The contained resources of one item, and the references to them (http://hl7.org/fhir/R4/references.html#contained)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from onestory.intake.domain.item import Item
from onestory.intake.domain.person_elements import references_at
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

    def references_in(
        self, start: ContainedResource, elements: Mapping[str, tuple[str, ...]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the References of a contained resource in the element of its type, each with its FHIRPath.

        `elements` has the steps by type. A Reference to another contained resource of these types is followed. Raises
        `Unprocessable` as `find` does.
        """
        seen, waiting = {start.path}, [start]
        while waiting:
            contained = waiting.pop()
            steps = elements.get(contained.resource_type, ("",))
            value = contained.members.get(steps[0])
            for path, reference in references_at(value, steps, f"{contained.path}.{steps[0]}"):
                target = reference.get("reference", "")
                inner = self.find(target) if target.startswith("#") else None
                if inner is None or inner.resource_type not in elements:
                    yield path, reference
                elif inner.path not in seen:
                    seen.add(inner.path)
                    waiting.append(inner)
