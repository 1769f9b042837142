"""The publishers that most of these tests use."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.stack import Services


@pytest.fixture
def practice(services: Services) -> Iterator[httpx.Client]:
    """A client of a practice's system."""
    with services.client("A81001", network="harbour") as client:
        yield client


@pytest.fixture
def hospital(services: Services) -> Iterator[httpx.Client]:
    """A client of a hospital's system. The hospital belongs to another network."""
    with services.client("RX001", network="hospitals") as client:
        yield client
