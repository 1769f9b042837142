"""Compares the resources of files with those of the directory: what is new, and what is different. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

LOADED = "https://onestory.nhs.uk/Id/directory-load"
"""The system of the identifier by which a loaded resource is found again; its value is the local id."""
_REFERENCE = re.compile(r"([A-Za-z]+)/([a-z2-7]{26})(/_history/.*)?")
_MAX_SHOWN = 100
_NOT_COMPARED = ("id", "meta")


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """A resource of the files. `before` is what the directory has of it; None: it is new."""

    resource: Json
    before: Json | None
    differences: Sequence[str]

    @property
    def is_needed(self) -> bool:
        """Whether the resource has to be published."""
        return self.before is None or bool(self.differences)

    def lines(self) -> Iterator[str]:
        """The change as text: a sign and the name of the resource, then a line for each different element."""
        name = f"{self.resource['resourceType']}/{self.resource['id']}"
        label = self.resource.get("name")
        yield f"{'+' if self.before is None else '~'} {name}{f' ({label})' if isinstance(label, str) else ''}"
        yield from (f"    {difference}" for difference in self.differences)


def with_load_identifier(resource: Json) -> Json:
    """Return the resource with the identifier by which the next load finds it."""
    own = {"system": LOADED, "value": f"{resource['resourceType']}/{resource['id']}"}
    others = [each for each in resource.get("identifier", []) if each.get("system") != LOADED]
    return {**resource, "identifier": [*others, own]}


def load_value(resource: Json) -> str:
    """Return the value of the load identifier of a resource; empty without one."""
    return next(
        (str(each.get("value", "")) for each in resource.get("identifier", []) if each.get("system") == LOADED), ""
    )


def changes(resources: Iterable[Json], current: Iterable[Json]) -> list[ResourceChange]:
    """Return the change of each resource. `current` are resources of the directory, of the same source."""
    known = {value: resource for resource in current if (value := load_value(resource))}
    local = {f"{resource['resourceType']}/{resource['id']}": value for value, resource in known.items()}
    found = []
    for resource in resources:
        before = known.get(load_value(resource))
        differences = [] if before is None else list(_differences(_with_local_references(before, local), resource))
        found.append(ResourceChange(resource, before, differences))
    return found


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*before, *after} - {*_NOT_COMPARED}):
        if before.get(name) != after.get(name):
            yield f"{name}: {_shown(before.get(name))} -> {_shown(after.get(name))}"


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def _with_local_references(value: Any, local: Mapping[str, str]) -> Any:
    """The value with references to loaded resources by their local ids, as the files have them."""
    if isinstance(value, list):
        return [_with_local_references(each, local) for each in value]
    if not isinstance(value, dict):
        return value
    changed = {name: _with_local_references(each, local) for name, each in value.items()}
    reference = changed.get("reference")
    if isinstance(reference, str) and (match := _REFERENCE.fullmatch(reference)):
        changed["reference"] = local.get(f"{match[1]}/{match[2]}", reference)
    return changed
