"""`onestory status`: which processes of the embedded stack run, and where.

Operators' commands (`topics`, `migrate`, `parked`, `record`, `rebuild`) read their settings from the environment alone.
`eval "$(onestory status --env)"` points them at the embedded stack.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from onestory.local import processes, state
from onestory.local.down import STOP_ORDER
from onestory.local.up import deployment_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json` and `--env` are for scripts."""
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="print one JSON object")
    formats.add_argument("--env", action="store_true", help="print the stack's settings as `export` lines for a shell")


def run(arguments: argparse.Namespace) -> int:
    """Print the state. The exit code is 0 when everything runs, else 1.

    Raises `Unavailable` when `--env` finds no stack.
    """
    state.require_packages()
    if arguments.env:
        home = state.find_home()
        for name, value in deployment_settings(home, state.require_stack(home)).items():
            print(f"export {name}={shlex.quote(value)}")
        return 0
    described = describe(state.find_home())
    if arguments.json:
        print(json.dumps(described, indent=2))
    else:
        _print_table(described)
    return 0 if all(process["state"] == "running" for process in described["processes"]) else 1


def describe(home: Path) -> dict[str, Any]:
    """The addresses (None before the first start), and each process with pid, state and memory in MB."""
    stack = state.read_stack(home)
    return {
        "base_url": stack and stack.base_url,
        "kafka": stack and stack.kafka,
        "postgres": stack and stack.postgres,
        "issuer": stack and stack.issuer,
        "home": str(home),
        "processes": [_process(home, name) for name in STOP_ORDER],
    }


def _process(home: Path, name: str) -> dict[str, Any]:
    process = processes.find(home, name)
    if process is None:
        return {"name": name, "pid": None, "state": "stopped", "memory_mb": None}
    return {"name": name, "pid": process.pid, "state": "running", "memory_mb": processes.memory_mb(process)}


def _print_table(described: dict[str, Any]) -> None:
    from rich.console import Console  # late: scripts often ask for JSON, and the import is slow
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column, justify in (("process", "left"), ("state", "left"), ("pid", "right"), ("MB", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left")
    for process in described["processes"]:
        colour = "green" if process["state"] == "running" else "red"
        shown = [process["name"], f"[{colour}]{process['state']}[/]", process["pid"] or "", process["memory_mb"] or ""]
        table.add_row(*map(str, shown))
    console = Console()
    console.print(table)
    for name in ("base_url", "issuer", "kafka", "postgres", "home"):
        console.print(
            f"{name:9} {described[name] or 'none yet; start with: onestory up'}", soft_wrap=True, highlight=False
        )
