"""The people who work in the network, and how records name them. They are the same for every seed."""

from __future__ import annotations

import functools
from typing import NamedTuple

from onestory.sample import names
from onestory.sample.chance import fingerprint, stream
from onestory.sample.elements import SDS_USER, Json, known_as
from onestory.sample.network import Source


class Worker(NamedTuple):
    key: str
    given: str
    family: str
    user_id: str
    role: tuple[str, str]
    """NHS job role code and name."""

    @property
    def display(self) -> str:
        return f"{self.given} {self.family}"


_ROLES: dict[str, tuple[tuple[str, str], ...]] = {
    "gp": (
        ("R0260", "General Medical Practitioner"),
        ("R0600", "Specialist Nurse Practitioner"),
        ("R0260", "General Medical Practitioner"),
    ),
    "community": (("R0570", "Community Nurse"), ("R0560", "Health Visitor")),
    "social-care": (("R1690", "Social Worker"),),
    "mental-health": (("R0050", "Consultant"), ("R0550", "Community Mental Health Nurse")),
    "hospital": (("R0050", "Consultant"), ("R0600", "Specialist Nurse Practitioner")),
    "demographics": (),
}


@functools.cache
def workers(source: Source) -> tuple[Worker, ...]:
    """The staff of this organisation, in the order of its directory."""
    return tuple(_worker(source, place, role) for place, role in enumerate(_ROLES[source.kind]))


def _worker(source: Source, place: int, role: tuple[str, str]) -> Worker:
    chance = stream("staff", source.ods, place)
    english = names.NAMES[0]
    number = int.from_bytes(fingerprint("user", source.ods, place)[:4]) % 1_000_000
    given = chance.choice(english.female + english.male)
    return Worker(f"staff-{place}", given, chance.choice(english.family), f"555{number:09d}", role)


def signed_by(source: Source, place: int = 0) -> Json:
    """A reference to a member of staff, by SDS user id: no source can know another system's Practitioner ids."""
    worker = workers(source)[place]
    return known_as("Practitioner", SDS_USER, worker.user_id, worker.display)
