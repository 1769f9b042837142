"""What two generations of the record do not agree on: whom it is about, and how much each has; never what it says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Difference(NamedTuple):
    """One part of what is kept of one subject. `now` and `rebuilt` count what each generation has of it.

    The subject is a person key, the id of a directory resource, or the place in Kafka of a parked message.
    """

    subject: str
    part: str
    now: int
    rebuilt: int


def described(differences: Iterable[Difference]) -> dict[str, list[str]]:
    """By subject, in order, what differs, in words."""
    found: dict[str, list[str]] = {}
    for each in sorted(differences):
        counts = (
            f"{each.now} now, {each.rebuilt} rebuilt" if each.now != each.rebuilt else f"other content in {each.now}"
        )
        found.setdefault(each.subject, []).append(f"{each.part}: {counts}")
    return found
