"""Which resource of the submission a reference means (http://hl7.org/fhir/R4/bundle.html#references)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from onestory.intake.domain.item import Item

_VERSION = re.compile(r"/_history/[^/]*$")
_RELATIVE = re.compile(r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})")


class Index:
    """The items of a submission by fullUrl and by Type/id."""

    def __init__(self, items: Sequence[Item], base_url: str) -> None:
        self._base = base_url + "/"
        self._items = items
        self._by_name: dict[str, Item] = {}
        for item in items:
            for name in _names(item):
                self._by_name.setdefault(name, item)

    def find(self, reference: str) -> Item | None:
        """The item that a reference means, if it is one of the submission."""
        return self._by_name.get(reference) or self._by_name.get(self.plain(reference))

    def of_type(self, resource_type: str) -> Iterator[Item]:
        """The items of a type, in order."""
        return (item for item in self._items if item.resource_type == resource_type)

    def plain(self, reference: str) -> str:
        """The reference without a version, and relative when it leads below our own base."""
        return _VERSION.sub("", reference).removeprefix(self._base)


def relative(reference: str) -> tuple[str, str] | None:
    """Type and id of a relative reference, else None."""
    match = _RELATIVE.fullmatch(reference)
    return (match["type"], match["id"]) if match else None


def _names(item: Item) -> list[str]:
    names = []
    if item.full_url:
        names.append(item.full_url)
        names.append("/".join(item.full_url.rsplit("/", 2)[-2:]))
    if item.resource_id:
        names.append(f"{item.resource_type}/{item.resource_id}")
    return names
