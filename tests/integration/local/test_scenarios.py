"""The acceptance scenarios pass at their small size, on real Kafka and PostgreSQL, through the public HTTP API."""

from __future__ import annotations

import pytest
from tests.stack import Services

from onestory.local.scenarios.client import ScenarioClient
from onestory.local.scenarios.main import SCENARIOS


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_scenario_passes(services: Services, name: str) -> None:
    with ScenarioClient(services.base_url, services.stack.issuer) as client:
        table = SCENARIOS[name](client, "small")

    assert table.passed, "\n".join(table.lines())
