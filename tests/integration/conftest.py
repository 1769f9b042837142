"""Who takes part in most of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.stack import Services


@pytest.fixture
def practice(services: Services) -> Iterator[httpx.Client]:
    """The system of a practice."""
    with services.client("A81001", network="harbour") as client:
        yield client


@pytest.fixture
def hospital(services: Services) -> Iterator[httpx.Client]:
    """The system of a hospital, of another network."""
    with services.client("RX001", network="hospitals") as client:
        yield client
