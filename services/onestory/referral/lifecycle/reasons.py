"""Adds the published display to the coding of a reason, so that a reader sees words and not a number."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from onestory.shared.kafka.schemas import schemas_folder

Json = Mapping[str, Any]


def with_displays(concept: Json) -> Json:
    """The CodeableConcept with the display of each coding that has a known code and no display."""
    codings = concept.get("coding", ())
    if not any(display_of(coding) for coding in codings if not coding.get("display")):
        return concept
    return {**concept, "coding": [_with_display(coding) for coding in codings]}


def display_of(coding: Json) -> str:
    """The published display of a coding; empty for an unknown code."""
    system = str(coding.get("system", "")).strip().lower().replace("http://", "https://", 1)
    return _displays().get((system, str(coding.get("code", "")).strip()), "")


def _with_display(coding: Json) -> Json:
    display = "" if coding.get("display") else display_of(coding)
    return {**coding, "display": display} if display else coding


@cache
def _displays() -> Mapping[tuple[str, str], str]:
    loaded = yaml.safe_load((schemas_folder() / "bars" / "reasons.yaml").read_text())
    return {
        (system.lower(), code): display for system, displays in loaded.items() for code, display in displays.items()
    }
