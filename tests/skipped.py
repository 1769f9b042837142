"""The line that reports which tests were skipped, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


def line(reasons: Mapping[str, int]) -> str:
    """One line of text for a person. `reasons` counts the skipped tests of each reason."""
    if not reasons:
        return "Skipped: none."
    groups = [f"{count}: {reason}" for reason, count in Counter(reasons).most_common()]
    return f"Skipped: {sum(reasons.values())} tests ({'; '.join(groups)})."


def reason_of(text: str) -> str:
    """The reason without the word that pytest puts in front."""
    return text.removeprefix("Skipped: ")
