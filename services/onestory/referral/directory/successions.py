"""Reads who succeeds a team, an organisation or a user, from the extension `succeeded-by` of directory resources. Pure.

The extension stands on the resource that ends: a HealthcareService, an Organization or a PractitionerRole. An authority
may name another predecessor in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from onestory.referral.directory.model import (
    CurrentDirectoryStatement,
    Json,
    id_in_reference,
    identifier_in_reference,
    identifier_value,
)
from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.dates import parse_date
from onestory.shared.identity import is_dos_service_system, is_ods_code_system, is_sds_user_system

SUCCEEDED_BY = "https://onestory.nhs.uk/StructureDefinition/succeeded-by"


class SuccessionKind(StrEnum):
    """The kind of thing that ends."""

    TEAM = "team"
    ORGANISATION = "organisation"
    USER = "user"


_KIND_OF_TYPE = {
    "HealthcareService": SuccessionKind.TEAM,
    "Organization": SuccessionKind.ORGANISATION,
    "PractitionerRole": SuccessionKind.USER,
    "Practitioner": SuccessionKind.USER,
}


class SuccessionRow(NamedTuple):
    """A row of `directory_succession`: what ends, and what follows it.

    `old_` and `new_` are a directory id (`_id`), or a code (`_code`): a DoS service id, an ODS code or an SDS user id.
    `old_id` is the resource itself, unless it names another predecessor. `practices` limits a split:
    the requesters whose referrals go this way; empty: all others.
    """

    succession_id: str
    resource_id: str
    said_by: str
    kind: str
    old_id: str
    old_code: str
    new_id: str
    new_code: str
    practices: list[str]
    starts_at: datetime | None
    active: bool


def succession_rows(statement: CurrentDirectoryStatement, resource: Json) -> Iterator[SuccessionRow]:
    """Return the successions that a resource states. Raises `Unprocessable` for one without a usable successor."""
    if statement.resource_type not in _KIND_OF_TYPE:
        return
    for extension in resource.get("extension", ()):
        if extension.get("url") == SUCCEEDED_BY:
            yield _row(statement, extension)


def stated_successions(statement: CurrentDirectoryStatement, resource: Json) -> list[SuccessionRow]:
    """Return the successions in force: none for a resource that is retracted."""
    return list(succession_rows(statement, resource)) if statement.is_asserted else []


def refuse_foreign_succession(rows: Collection[SuccessionRow], authorities: Collection[str]) -> None:
    """Raise `Unprocessable` where a source may not state this: an authority may, or a provider for its own teams."""
    for row in rows:
        is_own = row.old_id == row.resource_id and row.kind != SuccessionKind.ORGANISATION
        if not is_own and row.said_by not in authorities:
            raise Unprocessable(
                "Only a directory authority states that one organisation succeeds another.", code="no-authority"
            )


def _row(statement: CurrentDirectoryStatement, extension: Json) -> SuccessionRow:
    parts = extension.get("extension", [])
    successor = _part(parts, "successor", "valueReference")
    predecessor = _part(parts, "predecessor", "valueReference")
    named = _kind_of_reference(predecessor) if predecessor else None
    kind = named or _KIND_OF_TYPE[statement.resource_type]
    new_id, new_code = _names(successor, kind)
    old_id, old_code = _names(predecessor, kind) if predecessor else ("", "")
    if not (new_id or new_code) or (predecessor and not (old_id or old_code)):
        raise Unprocessable(
            f"succeeded-by: name the {kind} by reference, DoS service id, ODS code or SDS user id.", code="no-successor"
        )
    practices = sorted(
        {
            code
            for part in parts
            if part.get("url") == "practice"
            and (code := identifier_value([part.get("valueIdentifier", {})], is_ods_code_system).upper())
        }
    )
    key = "|".join((statement.shared_id, kind, old_id, old_code, new_id, new_code))
    return SuccessionRow(
        hashlib.sha256(key.encode()).hexdigest()[:26],
        statement.shared_id,
        statement.organisation,
        kind,
        old_id or ("" if predecessor else statement.shared_id),
        old_code,
        new_id,
        new_code,
        practices,
        _start(parts),
        statement.is_asserted,
    )


def _part(parts: Collection[Json], url: str, value: str) -> Json:
    return next((part.get(value, {}) for part in parts if part.get("url") == url), {})


def _kind_of_reference(reference: Json) -> SuccessionKind | None:
    stated = str(reference.get("type") or str(reference.get("reference", "")).partition("/")[0])
    return _KIND_OF_TYPE.get(stated)


def _names(reference: Json, kind: SuccessionKind) -> tuple[str, str]:
    """Return the directory id and the code in a reference; the id makes the code needless."""
    types = [name for name, each in _KIND_OF_TYPE.items() if each is kind]
    found = next(filter(None, (id_in_reference(reference, name) for name in types)), "")
    match kind:
        case SuccessionKind.TEAM:
            return found, "" if found else identifier_in_reference(reference, is_dos_service_system)
        case SuccessionKind.ORGANISATION:
            return found, "" if found else identifier_in_reference(reference, is_ods_code_system).upper()
        case _:
            return found, "" if found else identifier_in_reference(reference, is_sds_user_system)


def _start(parts: Collection[Json]) -> datetime | None:
    text = next((part.get("valueDateTime") for part in parts if part.get("url") == "from"), None)
    if text is None:
        return None
    span = parse_date(text)
    if span is None:
        raise Unprocessable("succeeded-by: `from` is not a date.", code="content-form")
    return span.begin
