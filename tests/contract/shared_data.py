"""The published examples in the folder next to the repository. Tests that need them are skipped without them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"

needs_shared_data = pytest.mark.skipif(
    not (DATA / "verdicts.json").exists(),
    reason="the published examples (../shared/data beside the repository) are not on this machine",
)


@cache
def verdicts() -> dict[str, dict[str, Any]]:
    """The findings of three independent tools for each example; empty where the file is missing."""
    path = DATA / "verdicts.json"
    loaded: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return loaded


def example(name: str) -> bytes:
    return (DATA / name).read_bytes()
