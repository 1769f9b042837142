"""Which ServiceRequest asks a team for advice, and not to see the person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ADVICE = ("https://fhir.nhs.uk/CodeSystem/usecases-categories-bars", "a8t1")
"""System and code of the category: advice and guidance, as BaRS and e-RS have it."""


def asks_for_advice(request: Mapping[str, Any]) -> bool:
    """Whether the ServiceRequest has this category."""
    return any(
        (coding.get("system"), coding.get("code")) == ADVICE
        for category in request.get("category", ())
        for coding in category.get("coding", ())
    )
