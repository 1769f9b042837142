"""`onestory status`: what of the embedded stack runs, and where."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from onestory.local import processes, state
from onestory.local.down import ALL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json` is for scripts."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print it. Exit code 0 when everything runs, else 1."""
    state.require()
    described = describe(state.find_home())
    if arguments.json:
        print(json.dumps(described, indent=2))
    else:
        _print_table(described)
    return 0 if all(process["state"] == "running" for process in described["processes"]) else 1


def describe(home: Path) -> dict[str, Any]:
    """The addresses (null before the first start) and each process with pid, state and memory in MB."""
    stack = state.read_stack(home)
    return {
        "base_url": stack and stack.base_url,
        "kafka": stack and stack.kafka,
        "postgres": stack and stack.postgres,
        "issuer": stack and stack.issuer,
        "home": str(home),
        "processes": [_process(home, name) for name in ALL],
    }


def _process(home: Path, name: str) -> dict[str, Any]:
    process = processes.find(home, name)
    if process is None:
        return {"name": name, "pid": None, "state": "stopped", "memory_mb": None}
    return {"name": name, "pid": process.pid, "state": "running", "memory_mb": processes.memory_mb(process)}


def _print_table(described: dict[str, Any]) -> None:
    from rich.console import Console  # late: scripts ask for JSON often, and wait for it
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
