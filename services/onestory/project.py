"""`onestory project <service>`: the services that project Kafka topics into their own tables."""

from __future__ import annotations

import argparse
import importlib

PROJECTORS = {"record": "onestory.record.projector.main", "referral": "onestory.referral.main"}
"""Modules with `run() -> exit code`. A module is imported only when it runs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the name of the service to project."""
    parser.add_argument("service", choices=PROJECTORS, help="the service whose topics are projected")


def run(arguments: argparse.Namespace) -> int:
    """Project until SIGTERM or SIGINT. The exit code is not 0 when it stopped for another reason."""
    return int(importlib.import_module(PROJECTORS[arguments.service]).run())
