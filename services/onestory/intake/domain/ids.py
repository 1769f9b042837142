"""What a publisher's resource is called in its own system, so that a resubmission meets itself (design: shared ids)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from onestory.intake.domain.bundle import Identifier
from onestory.intake.domain.item import Item
from onestory.intake.domain.request import KnownResource, Reception
from onestory.shared.errors import Forbidden, Unprocessable
from onestory.shared.events import REFERRAL_SYSTEM
from onestory.shared.fhir.definitions import instance_identifier_systems
from onestory.shared.identity import is_directory_id, is_keepable, parse_shared_id


def local_id(item: Item, reception: Reception, known: Mapping[str, KnownResource]) -> str:
    """Resource.id, else the identifier of a conditional create or update, else one that is unique to the instance, else
    the idempotency key (or the submission) and the entry's place. An id in our own form leads back to the local id that
    it was made from. Raises `Forbidden` for another source's id, `Unprocessable` for one that we never gave, or that
    the record could not keep.
    """
    if item.resource_id and not (item.method == "PUT" and item.identifier):
        return _named(item, reception, known)
    identifier = item.identifier or _instance_identifier(item)
    if not is_keepable(identifier):
        says = "The identifier that names this resource is too long: send at most 512 characters, or an id."
        raise Unprocessable(says, code="too-long", expression=f"{item.path}.identifier")
    return identifier or reception.instance_id(item.index)


def _named(item: Item, reception: Reception, known: Mapping[str, KnownResource]) -> str:
    path = item.request_path if item.method == "DELETE" else f"{item.path}.id"
    if is_directory_id(item.resource_id):
        says = "This has the form of ids that we give to a directory: send the id that your own system gave."
        raise Unprocessable(says, code="not-supported", expression=path)
    if not parse_shared_id(item.resource_id):
        return item.resource_id
    meant = known.get(item.resource_id)
    if meant is None or meant.resource_type != item.resource_type:
        says = "This has the form of ids that we give, and is not known here (yet): send your own system's id."
        raise Unprocessable(says, code="not-found", expression=path)
    if meant.source.system == REFERRAL_SYSTEM:
        says = "This is a referral made here, and changed by operations on its Task alone (POST /fhir/Task/{id}/$...)."
        raise Forbidden(says, expression=path)
    if meant.source != reception.source:
        raise Forbidden("This id belongs to what another source said: send your own.", expression=path)
    return meant.local_id


def _instance_identifier(item: Item) -> str:
    raw = item.members.get("identifier")
    if raw is None:
        return ""
    decoded = msgspec.json.decode(raw, type=list[Identifier] | Identifier)
    for each in decoded if isinstance(decoded, list) else [decoded]:
        if each.system in instance_identifier_systems() and each.value:
            return f"{each.system}|{each.value}"
    return ""


# Which resource of the submission a reference means (http://hl7.org/fhir/R4/bundle.html#references).

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
