"""What a publisher's resource is called in its own system, so that a resubmission meets itself (design: shared ids)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from onestory.intake.domain.bundle import Identifier
from onestory.intake.domain.item import Item
from onestory.intake.domain.submission import Known, Reception
from onestory.shared.errors import Forbidden, Unprocessable
from onestory.shared.events import REFERRAL_SYSTEM
from onestory.shared.fhir.definitions import instance_identifier_systems
from onestory.shared.identity import is_directory_id, is_keepable, parse_shared_id


def local_id(item: Item, reception: Reception, known: Mapping[str, Known]) -> str:
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


def _named(item: Item, reception: Reception, known: Mapping[str, Known]) -> str:
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
