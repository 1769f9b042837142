"""`onestory scenario NAME`: runs an acceptance scenario on the embedded stack, and prints what it expected and saw."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from onestory.local import down, state, up
from onestory.local.scenarios import gloucestershire_networks, somerset_pool
from onestory.local.scenarios.checks import CheckTable
from onestory.local.scenarios.client import ScenarioClient
from onestory.local.scenarios.gloucestershire_networks import GloucestershireNetworks
from onestory.local.scenarios.somerset_pool import SomersetPool

SCALES = ("small", "default", "full")
SCENARIOS: Mapping[str, Callable[[ScenarioClient, str], CheckTable]] = {
    "gloucestershire-networks": lambda client, scale: GloucestershireNetworks(
        client, gloucestershire_networks.SIZES[scale]
    ).run(),
    "somerset-pool": lambda client, scale: SomersetPool(client, somerset_pool.SIZES[scale]).run(),
}
"""Each scenario by its name. It uses the public HTTP API only."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Name and scale."""
    parser.add_argument("name", choices=sorted(SCENARIOS), help="the scenario")
    parser.add_argument("--scale", choices=SCALES, default="default", help="how many people (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run the scenario. Starts the stack where it does not run, and stops what it started. 1: a check failed."""
    home = state.find_home()
    stack, started = up.bring_up(home)
    try:
        with ScenarioClient(stack.base_url, stack.issuer) as client:
            table = SCENARIOS[arguments.name](client, arguments.scale)
    finally:
        if started:
            with state.stack_lock(home):
                down.stop_all(home, down.STOP_ORDER)
    print(f"{arguments.name}, scale {arguments.scale}")
    print("\n".join(table.lines()))
    return 0 if table.passed else 1
