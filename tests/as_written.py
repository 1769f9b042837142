"""JSON as it was written, digit by digit, to compare a sent resource with the one that is read."""

from __future__ import annotations

import json
from typing import Any

from onestory.shared.identity import ODS_CODE_SYSTEM

_REFERENCE = {"reference", "type", "identifier", "display", "id", "extension", "_reference", "_type", "_display"}
_GIVEN_BY_THE_RECORD = ("versionId", "lastUpdated")


def as_written(text: bytes) -> Any:
    """Parsed JSON. Each number keeps its digits, and each object keeps its members in order."""
    return json.loads(text, parse_float=Digits, parse_int=Digits, object_pairs_hook=Members)


class Digits(str):
    """A number as it was written. It never equals the same digits in quotes."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digits) and str.__eq__(self, other)

    __hash__ = str.__hash__

    def __repr__(self) -> str:
        return str(self)


class Members(list[tuple[str, Any]]):
    """An object's members in their order."""

    def get(self, name: str) -> Any:
        return next((value for key, value in self if key == name), None)


def comparable(value: Any) -> Any:
    """The value without the content of its references."""
    if isinstance(value, Members):
        names = {name for name, _ in value}
        gone = (
            {"reference", "type", "identifier"}
            if names <= _REFERENCE and names & {"reference", "identifier"}
            else set()
        )
        return Members((name, comparable(each)) for name, each in value if name not in gone)
    if isinstance(value, list):
        return [comparable(each) for each in value]
    return value


def meta_of(resource: Members) -> Any:
    """The meta without the elements that the record sets for each version, and the tags without the verified source."""
    meta = dict(resource.get("meta") or ())
    tags = [tag for tag in meta.pop("tag", []) if tag.get("system") != ODS_CODE_SYSTEM]
    return {name: each for name, each in meta.items() if name not in _GIVEN_BY_THE_RECORD}, tags


def body_of(resource: Members) -> Any:
    """All elements but id and meta. FHIR gives no order to resourceType, so it may move to the front."""
    inside = comparable(Members(each for each in resource if each[0] not in ("id", "meta", "resourceType")))
    return resource.get("resourceType"), inside
