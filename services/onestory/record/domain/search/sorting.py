"""The order that a caller asks for with `_sort` (FHIR R4, http://hl7.org/fhir/R4/search.html#sort).

What lacks the element comes last in both directions; what is equal follows type and id, so the order is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from onestory.record.domain.search import names
from onestory.record.domain.search.place import SortedPlace
from onestory.record.domain.search.times import time_of
from onestory.record.domain.search.token import codes
from onestory.record.domain.search.values import values
from onestory.shared.fhir.definitions import SearchParameter, search_parameters

Keys = tuple[str | None, ...]
_OF_ALL = {
    "_id": SearchParameter("id", (("id",),)),
    "_lastUpdated": SearchParameter("date", (("meta", "lastUpdated"),)),
}


class Rule(NamedTuple):
    """One of the things to sort by."""

    parameter: SearchParameter
    descending: bool


class Placed(NamedTuple):
    """Where something stands in the order."""

    keys: Keys
    resource_type: str
    id: str


@dataclass(frozen=True, slots=True)
class Order:
    """What to sort by, most important first."""

    rules: tuple[Rule, ...]

    def keys(self, resource: Mapping[str, Any]) -> Keys:
        """What this resource is sorted by."""
        return tuple(_key(resource, rule) for rule in self.rules)

    def sort(self, placed: list[Placed]) -> None:
        """Sort them, in place."""
        placed.sort(key=lambda each: (each.resource_type, each.id))
        for position, rule in reversed(list(enumerate(self.rules))):
            placed.sort(key=lambda each: each.keys[position] or "", reverse=rule.descending)
            placed.sort(key=lambda each: each.keys[position] is None)

    def is_after(self, placed: Placed, place: SortedPlace) -> bool:
        """Whether it comes after this place."""
        for rule, key, other in zip(self.rules, placed.keys, place.keys, strict=True):
            if key != other:
                return key is None or (other is not None and (key < other) is rule.descending)
        return (placed.resource_type, placed.id) > (place.resource_type, place.id)


def order(resource_type: str, names: Sequence[str]) -> Order | None:
    """The order by these search parameters, with a hyphen before those that descend; None where one is not known."""
    known = {**search_parameters(resource_type), **_OF_ALL}
    rules = [(known.get(name.removeprefix("-")), name.startswith("-")) for name in names]
    found = tuple(Rule(parameter, descending) for parameter, descending in rules if parameter)
    return Order(found) if len(found) == len(rules) else None


def _key(resource: Mapping[str, Any], rule: Rule) -> str | None:
    said = values(resource, rule.parameter)
    keys = [key for value in said if (key := _text(value, rule.parameter.kind)) is not None]
    return (max if rule.descending else min)(keys, default=None)


def _text(value: Any, kind: str) -> str | None:
    match kind:
        case "date":
            said = time_of(value)
            moment = said and (said.since or said.before)
            return moment.isoformat(timespec="microseconds") if moment else None
        case "token":
            return next((code or system for system, code in codes(value)), None) or _free_text(value)
        case "reference":
            return str(value.get("reference") or "") or None if isinstance(value, dict) else None
        case "string":
            return " ".join(names.words(str(value))) or None
        case _:
            return str(value)


def _free_text(value: Any) -> str | None:
    return str(value["text"]) if isinstance(value, dict) and value.get("text") else None
