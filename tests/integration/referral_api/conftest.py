"""Who takes part in the referrals of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.referrals import new_team
from tests.stack import Services


@pytest.fixture
def surgery(services: Services) -> Iterator[httpx.Client]:
    """A practice's system."""
    with services.client("A81001") as client:
        yield client


@pytest.fixture
def nurses(services: Services) -> Iterator[httpx.Client]:
    """The system of a community trust, whose team it is."""
    with services.client("RZ1") as client:
        yield client


@pytest.fixture
def team(services: Services) -> str:
    """A team of the trust; its id."""
    return new_team(services, "RZ1")
