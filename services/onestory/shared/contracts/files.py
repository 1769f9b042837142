"""Where the contract's files are: `schemas/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def folder() -> Path:
    """`schemas/`: inside the package when it is installed from a wheel, else at the top of the repository."""
    package = Path(__file__).parents[2] / "schemas"
    return package if package.is_dir() else Path(__file__).parents[4] / "schemas"


def load_schema(name: str) -> dict[str, Any]:
    """The current Avro schema of an event, as JSON."""
    loaded: dict[str, Any] = json.loads((folder() / "avro" / f"{name}.avsc").read_text())
    return loaded
