"""Networks come from the directory: a record opens with a membership and shuts at its end, on Kafka and PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.people import condition, new_nhs_number, transaction
from tests.publishing import SENT
from tests.stack import Services
from tests.waiting import until

from onestory.sample.network import DIRECTORY
from onestory.shared.identity import ODS_CODE_SYSTEM

CARE_NETWORK = "https://onestory.nhs.uk/Id/care-network"


@pytest.fixture
def authority(services: Services) -> Iterator[httpx.Client]:
    with services.client(DIRECTORY.ods) as client:
        yield client


def membership(practice: str, network: str, **elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "OrganizationAffiliation",
        "id": f"{practice}-{network}",
        "organization": {"identifier": {"system": CARE_NETWORK, "value": network}},
        "participatingOrganization": {"identifier": {"system": ODS_CODE_SYSTEM, "value": practice}},
        "code": [{"coding": [{"system": "http://hl7.org/fhir/organization-role", "code": "member"}]}],
        **elements,
    }


def states(client: httpx.Client, *resources: dict[str, Any]) -> None:
    answer = client.post("/fhir", json=transaction(*resources), headers=SENT)
    assert answer.status_code == 200, answer.text


def sees(client: httpx.Client, number: str) -> int:
    return len(client.get(f"/fhir/Condition?patient={number}").json().get("entry", []))


def test_a_record_opens_with_a_membership_and_shuts_at_its_end(services: Services, authority: httpx.Client) -> None:
    suffix, number = secrets.token_hex(3).upper(), new_nhs_number()
    mine, other, network = f"P1{suffix}", f"P2{suffix}", f"net-{suffix}"
    services.register(number, practice=mine)
    with services.client(mine) as own, services.client(other) as neighbour, services.client("RZ9") as stranger:
        states(own, condition(number, f"c-{number}"))
        assert (sees(own, number), sees(neighbour, number)) == (1, 0)

        # The practice that wants to read, and a stranger, say so themselves: neither is a directory authority.
        for client in (neighbour, stranger):
            states(client, membership(mine, network), membership(other, network))
        states(authority, membership(mine, network))
        assert sees(neighbour, number) == 0

        states(authority, membership(other, network, period={"start": "2020-04-01"}))
        until(lambda: sees(neighbour, number) == 1, 10)

        states(authority, membership(other, network, period={"start": "2020-04-01", "end": "2025-03-31"}))
        until(lambda: sees(neighbour, number) == 0, 10)


def test_the_directory_decides_against_setting_and_token(services: Services, authority: httpx.Client) -> None:
    number = new_nhs_number()
    services.register(number, practice="A81004")
    with services.client("A81005", network="moor") as neighbour, services.client("A81004") as own:
        states(own, condition(number, f"c-{number}"))
        assert sees(neighbour, number) == 1  # by the setting and the token

        states(authority, membership("A81004", "moor"), membership("A81005", "dale"))
        until(lambda: sees(neighbour, number) == 0, 10)

        assert authority.delete("/fhir/OrganizationAffiliation/A81005-dale", headers=SENT).status_code in (200, 204)
        states(authority, membership("A81005", "moor"))
        until(lambda: sees(neighbour, number) == 1, 10)
