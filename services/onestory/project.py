"""`onestory project <room>`: the table of rooms that project topics into tables of their own."""

from __future__ import annotations

import argparse
import importlib

ROOMS = {"record": "onestory.record.projector.main", "referral": "onestory.referral.main"}
"""Modules with `run() -> exit code`, imported only when they are called."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The room whose process it is."""
    parser.add_argument("room", choices=ROOMS, help="the room whose topics are projected")


def run(arguments: argparse.Namespace) -> int:
    """Project until SIGTERM. The exit code is not 0 when it stopped for another reason."""
    return int(importlib.import_module(ROOMS[arguments.room]).run())
