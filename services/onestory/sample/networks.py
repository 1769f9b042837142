"""What the directory authority of the synthetic area states: networks, their members, and who serves each practice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from onestory.sample.network import NETWORKS, PRACTICES, SOURCES
from onestory.sample.resources import ODS_CODE, Json, concept_from, identifier, logical_reference, period
from onestory.sample.teams import DOS_SERVICE, ONESTORY, teams

CARE_NETWORK = f"{ONESTORY}/Id/care-network"
ORGANISATION_KIND = f"{ONESTORY}/CodeSystem/organisation-kind"
_FIRST_DAY_OF_NETWORKS = date(2019, 7, 1)

DirectoryEntry = tuple[str, str, Json]
"""The type of a resource, its local id, and its elements."""


def networks() -> Iterator[DirectoryEntry]:
    """The networks as the directory authority states them, and the membership of each practice."""
    for network in sorted(set(NETWORKS.values())):
        fields = {
            "identifier": [identifier(CARE_NETWORK, network)],
            "active": True,
            "type": [concept_from(ORGANISATION_KIND, "network")],
            "name": f"{network.title()} Primary Care Network",
        }
        yield "Organization", f"network-{network}", fields
    for practice in PRACTICES:
        yield (
            "OrganizationAffiliation",
            f"member-{practice.ods}-{practice.network}",
            {
                "active": True,
                "period": period(_FIRST_DAY_OF_NETWORKS),
                "organization": logical_reference("Organization", CARE_NETWORK, practice.network),
                "participatingOrganization": logical_reference("Organization", ODS_CODE, practice.ods, practice.name),
                "code": [concept_from("http://hl7.org/fhir/organization-role", "member")],
            },
        )


def providers() -> Iterator[DirectoryEntry]:
    """The teams that serve each practice, by DoS service id, as the directory authority states them."""
    for practice in PRACTICES:
        for source in SOURCES:
            serving = [team for team in teams(source) if practice.ods in team.practices]
            if serving and source != practice:
                fields = {
                    "active": True,
                    "period": period(_FIRST_DAY_OF_NETWORKS),
                    "organization": logical_reference("Organization", ODS_CODE, practice.ods, practice.name),
                    "participatingOrganization": logical_reference("Organization", ODS_CODE, source.ods, source.name),
                    "code": [concept_from("http://hl7.org/fhir/organization-role", "provider")],
                    "healthcareService": [
                        logical_reference("HealthcareService", DOS_SERVICE, team.dos_service_id, team.name)
                        for team in serving
                    ],
                }
                yield "OrganizationAffiliation", f"serves-{practice.ods}-{source.ods}", fields
