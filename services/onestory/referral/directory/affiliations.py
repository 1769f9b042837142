"""Reads OrganizationAffiliations into rows: members of networks, and providers of services to practices.

http://hl7.org/fhir/R4/organizationaffiliation.html. With the code `member`, `participatingOrganization` is a member of
the network `organization`. With the code `provider`, its `healthcareService` serve the practice `organization`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from onestory.referral.directory.model import (
    CurrentDirectoryStatement,
    Json,
    id_in_reference,
    identifier_in_reference,
    is_active,
)
from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.affiliations import has_role, read_affiliation
from onestory.shared.identity import is_dos_service_system

MEMBER, PROVIDER = "member", "provider"


class AffiliationRow(NamedTuple):
    """A row of `directory_affiliation`. An organisation has a network code, an ODS code or a directory id."""

    shared_id: str
    said_by: str
    kind: str
    network: str
    ods: str
    organisation_id: str
    member_ods: str
    member_id: str
    team_ids: list[str]
    dos_service_ids: list[str]
    starts_at: datetime | None
    ends_at: datetime | None
    active: bool


def affiliation_row(statement: CurrentDirectoryStatement, resource: Json) -> AffiliationRow:
    """Return the row of an OrganizationAffiliation. Raises `Unprocessable` without its organisations.

    One with other codes than `member` and `provider` is kept without a kind, and has no effect.
    """
    kind = next((role for role in (MEMBER, PROVIDER) if has_role(resource, role)), "")
    if not kind:
        blank = "", "", "", "", ""
        return AffiliationRow(statement.shared_id, statement.organisation, "", *blank, [], [], None, None, False)
    stated = read_affiliation(
        statement.shared_id, statement.organisation, resource, asserted=is_active(statement, resource)
    )
    services = resource.get("healthcareService", [])
    team_ids = sorted({team for service in services if (team := id_in_reference(service, "HealthcareService"))})
    dos_ids = sorted({dos for service in services if (dos := identifier_in_reference(service, is_dos_service_system))})
    if services and not (team_ids or dos_ids):
        raise Unprocessable("healthcareService names no team by reference or by DoS service id.", code="no-team")
    return AffiliationRow(
        statement.shared_id,
        statement.organisation,
        kind,
        stated.network.network,
        stated.network.ods,
        stated.network.shared_id,
        stated.member.ods,
        stated.member.shared_id,
        team_ids,
        dos_ids,
        stated.starts_at,
        stated.ends_at,
        stated.active,
    )


def refuse_foreign_affiliation(row: AffiliationRow, authorities: Collection[str]) -> None:
    """Raise `Unprocessable` where the source may not state this: only an authority, or a practice for itself, may."""
    if row.said_by in authorities or not row.kind:
        return
    if row.kind == MEMBER:
        raise Unprocessable("Only a directory authority states the members of networks.", code="no-authority")
    if row.ods and row.ods != row.said_by:
        raise Unprocessable(
            "Only a practice, or a directory authority, states who serves the practice.", code="no-authority"
        )
