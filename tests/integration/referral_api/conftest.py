"""Fixtures: the parties of the referrals in these tests."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.bars import RECEIVER, SENDER, new_service
from tests.referrals import new_team
from tests.stack import Services


@pytest.fixture
def surgery(services: Services) -> Iterator[httpx.Client]:
    """A practice's system."""
    with services.client("A81001") as client:
        yield client


@pytest.fixture
def nurses(services: Services) -> Iterator[httpx.Client]:
    """The system of the community trust that has the team."""
    with services.client("RZ1") as client:
        yield client


@pytest.fixture
def team(services: Services) -> str:
    """The id of a team of the trust."""
    return new_team(services, "RZ1")


@pytest.fixture
def sender(services: Services) -> Iterator[httpx.Client]:
    """The system that sends the published messages."""
    with services.client(SENDER) as client:
        yield client


@pytest.fixture
def receiver(services: Services) -> Iterator[httpx.Client]:
    """The system that receives the published messages."""
    with services.client(RECEIVER) as client:
        yield client


@pytest.fixture
def service(services: Services) -> str:
    """The DoS id of a team of the receiver."""
    return new_service(services)
