"""Reads memberships of networks from OrganizationAffiliation and Organization resources of the directory. Pure.

http://hl7.org/fhir/R4/organizationaffiliation.html: `organization` is the network, `participatingOrganization` the
member. Each is named by identifier, or by reference to an Organization of the same source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.dates import parse_period
from onestory.shared.identity import is_ods_code_system
from onestory.shared.networks import Membership

CARE_NETWORK = "https://onestory.nhs.uk/Id/care-network"
ORGANISATION_KIND = "https://onestory.nhs.uk/CodeSystem/organisation-kind"
_ROLES = "http://hl7.org/fhir/organization-role"
NETWORK = "network"
# https://digital.nhs.uk/services/organisation-data-service: the roles that ODS gives to organisations.
_KIND_OF_ODS_ROLE = {"RO76": "practice", "RO177": "practice", "RO197": "trust", "RO272": NETWORK}
_ORGANISATION = re.compile(r"Organization/([a-z2-7]{26})")

Json = Mapping[str, Any]


class OrganisationName(NamedTuple):
    """How a resource names an organisation: a network by its own code, any by ODS code, or by directory id."""

    network: str = ""
    ods: str = ""
    shared_id: str = ""

    def __bool__(self) -> bool:
        return any(self)


class StatedOrganisation(NamedTuple):
    """An Organization of the directory. `network` and `ods` are its codes; empty where it has none."""

    shared_id: str
    source: str
    network: str
    ods: str
    kind: str
    name: str
    active: bool


@dataclass(frozen=True, slots=True)
class Affiliation:
    """A stated membership, with its two organisations as they are named. `source` is an ODS code."""

    shared_id: str
    source: str
    network: OrganisationName
    member: OrganisationName
    starts_at: datetime | None
    ends_at: datetime | None
    active: bool


def has_role(resource: Json, role: str) -> bool:
    """Return whether an OrganizationAffiliation has this code of the value set organization-role."""
    codings = (coding for concept in resource.get("code", ()) for coding in concept.get("coding", ()))
    return any((coding.get("system"), coding.get("code")) == (_ROLES, role) for coding in codings)


def is_membership(resource: Json) -> bool:
    """Return whether an OrganizationAffiliation says that an organisation is a member of another."""
    return has_role(resource, "member")


def read_affiliation(shared_id: str, source: str, resource: Json, *, asserted: bool) -> Affiliation:
    """Return the membership that a resource states. Raises `Unprocessable` where it names no organisation or dates."""
    network = _organisation_name(resource.get("organization", {}))
    member = _organisation_name(resource.get("participatingOrganization", {}))
    if not network or not member:
        raise Unprocessable(
            "organization and participatingOrganization: each must name an Organization by identifier or reference.",
            code="no-organisation",
        )
    try:
        period = parse_period(resource.get("period", {}))
    except ValueError as error:
        raise Unprocessable("OrganizationAffiliation.period has an invalid date.", code="content-form") from error
    active = asserted and bool(resource.get("active", True))
    return Affiliation(shared_id, source, network, member, period.begin, period.end, active)


def read_organisation(shared_id: str, source: str, resource: Json, *, asserted: bool) -> StatedOrganisation:
    """Return the codes, the kind and the name of an Organization."""
    identifiers = [each for each in resource.get("identifier", ()) if each.get("use") != "old"]
    network = next((str(each["value"]) for each in identifiers if _is_network_code(each)), "")
    ods = next((str(each["value"]).upper() for each in identifiers if _is_ods_code(each)), "")
    active = asserted and bool(resource.get("active", True))
    kind = organisation_kind(resource) or (NETWORK if network else "")
    return StatedOrganisation(shared_id, source, network, ods, kind, str(resource.get("name", "")), active)


def organisation_kind(resource: Json) -> str:
    """Return the kind of an Organization: a code of the CodeSystem organisation-kind; empty where it has none."""
    codings = [coding for concept in resource.get("type", ()) for coding in concept.get("coding", ())]
    own = next((coding.get("code", "") for coding in codings if coding.get("system") == ORGANISATION_KIND), "")
    ods_roles = (_KIND_OF_ODS_ROLE.get(str(coding.get("code"))) for coding in codings)
    return str(own) or next(filter(None, ods_roles), "")


def memberships(affiliations: Iterable[Affiliation], organisations: Iterable[StatedOrganisation]) -> list[Membership]:
    """Return the memberships of networks that these affiliations of directory authorities state.

    An organisation that an affiliation names by reference or ODS code is a network only if an Organization of the same
    source says so. An Organization that is not active has no members.
    """
    stated: dict[tuple[str, str], StatedOrganisation] = {}
    for organisation in sorted(organisations, key=lambda each: (each.active, each.shared_id)):
        for name in filter(None, (organisation.shared_id, organisation.network, organisation.ods)):
            stated[organisation.source, name] = organisation
    return [found for affiliation in affiliations if (found := _membership(affiliation, stated)) is not None]


def _membership(affiliation: Affiliation, stated: Mapping[tuple[str, str], StatedOrganisation]) -> Membership | None:
    def find(name: OrganisationName) -> StatedOrganisation | None:
        keys = [(affiliation.source, part) for part in name if part]
        return next((stated[key] for key in keys if key in stated), None)

    network, member = find(affiliation.network), find(affiliation.member)
    ods = affiliation.member.ods or (member.ods if member else "")
    is_network = bool(affiliation.network.network) or (network is not None and network.kind == NETWORK)
    code = affiliation.network.network or (network.network or network.ods if network else "")
    if not ods or not code or not is_network:
        return None
    active = affiliation.active and (network is None or network.active)
    return Membership(code, ods, affiliation.starts_at, affiliation.ends_at, active)


def named_organisations(affiliations: Iterable[Affiliation]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the directory ids, and the codes, of all organisations that these affiliations name."""
    names = [name for each in affiliations for name in (each.network, each.member)]
    return frozenset(filter(None, (name.shared_id for name in names))), frozenset(_codes(names))


def _codes(names: Iterable[OrganisationName]) -> Iterator[str]:
    for name in names:
        yield from filter(None, (name.network, name.ods))


def _organisation_name(reference: Json) -> OrganisationName:
    identifier = reference.get("identifier") or {}
    match = _ORGANISATION.fullmatch(str(reference.get("reference", "")))
    return OrganisationName(
        str(identifier["value"]) if _is_network_code(identifier) else "",
        str(identifier["value"]).upper() if _is_ods_code(identifier) else "",
        match[1] if match else "",
    )


def _is_network_code(identifier: Json) -> bool:
    return identifier.get("system") == CARE_NETWORK and bool(identifier.get("value"))


def _is_ods_code(identifier: Json) -> bool:
    return is_ods_code_system(identifier.get("system")) and bool(identifier.get("value"))
