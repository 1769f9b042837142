"""The people who work in the network, and how records name them. They are the same for every seed."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from onestory.sample import people
from onestory.sample.chance import fingerprint, stream
from onestory.sample.codes import Code
from onestory.sample.network import PRACTICES, SOURCES, SourceSystem
from onestory.sample.resources import SDS_USER, Json, concept, known_as

# The teams of the network that take referrals: what each does, whom it serves, and whom it names when nobody acts.


class TeamKind(NamedTuple):
    """What a team does: a code of the CodeSystem team-kind, and the type of its service."""

    code: str
    type: Json


class SampleTeam(NamedTuple):
    """A HealthcareService. `practices` are ODS codes; `network` is theirs, where all are of one."""

    local_id: str
    name: str
    kind: TeamKind
    network: str
    practices: tuple[str, ...]
    dos_service_id: str
    phone: str


_GENERAL = TeamKind("general-practice", concept(Code("788007007", "General practice service")))
_NURSING = TeamKind("community-nursing", {"text": "District nursing"})
_VISITING = TeamKind("health-visiting", {"text": "Health visiting"})
_SOCIAL = TeamKind("adult-social-care", {"text": "Adult social care"})
_MENTAL = TeamKind("adult-mental-health", concept(Code("788002001", "Adult mental health service")))
_CARDIOLOGY = TeamKind("cardiology", concept(Code("789718008", "Cardiology service")))
_ORTHOPAEDICS = TeamKind("orthopaedics", concept(Code("310161006", "Orthopaedic service")))

_EVERYBODY = ""
_OF_KIND: dict[str, tuple[tuple[TeamKind, str], ...]] = {
    "community": (
        (_NURSING, "harbour"),
        (_VISITING, _EVERYBODY),
        (_NURSING, "moor"),
        (_NURSING, "weir"),
    ),
    "social-care": ((_SOCIAL, _EVERYBODY),),
    "mental-health": ((_MENTAL, _EVERYBODY),),
    "hospital": ((_CARDIOLOGY, _EVERYBODY), (_ORTHOPAEDICS, _EVERYBODY)),
}
"""What each kind of organisation offers, and to which network."""


@functools.cache
def teams(source: SourceSystem) -> tuple[SampleTeam, ...]:
    """The teams of an organisation, in the order of its directory."""
    return tuple(_teams(source))


def _teams(source: SourceSystem) -> Iterator[SampleTeam]:
    offered = ((_GENERAL, source.network),) if source.kind == "gp" else _OF_KIND.get(source.kind, ())
    for place, (kind, network) in enumerate(offered):
        number = SOURCES.index(source) * 10 + place
        serves = tuple(each.ods for each in PRACTICES if network in (_EVERYBODY, each.network))
        area = network.title() if source.kind != "gp" else ""
        yield SampleTeam(
            local_id=f"{source.ods}-service-{place}",
            name=", ".join(filter(None, (kind.type["text"], area, source.name))),
            kind=kind,
            network=network,
            practices=(source.ods,) if source.kind == "gp" else serves,
            # Ofcom keeps 01632 960000 to 960999 for fiction.
            dos_service_id=f"2000{number:06d}",
            phone=f"01632 960{number:03d}",
        )


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


class Post(NamedTuple):
    """A worker's role at teams of an organisation, which is the one that says so; without an `end` it goes on."""

    local_id: str
    worker: Worker
    teams: tuple[SampleTeam, ...]
    start: date
    end: date | None = None


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
def workers(source: SourceSystem) -> tuple[Worker, ...]:
    """The staff of this organisation, in the order of its directory."""
    return tuple(_worker(source, place, role) for place, role in enumerate(_ROLES[source.kind]))


def _worker(source: SourceSystem, place: int, role: tuple[str, str]) -> Worker:
    chance = stream("staff", source.ods, place)
    english = people.NAMES[0]
    number = int.from_bytes(fingerprint("user", source.ods, place)[:4]) % 1_000_000
    given = chance.choice(english.female + english.male)
    return Worker(f"staff-{place}", given, chance.choice(english.family), f"555{number:09d}", role)


def posts(source: SourceSystem) -> Iterator[Post]:
    """Who works in this organisation's teams: its own staff, each in all of one kind, and who comes from elsewhere."""
    offered = teams(source)
    kinds = list(dict.fromkeys(team.kind.code for team in offered))
    for place, worker in enumerate(workers(source)):
        mine = tuple(team for team in offered if team.kind.code == kinds[place % len(kinds)])
        began = _BEGAN.replace(year=_BEGAN.year + place)
        yield Post(f"{source.ods}-{worker.key}-role", worker, mine, began)
    for visitor, practice, start, end in _VISITS:
        if practice == source:
            yield Post(f"{source.ods}-visitor-{visitor.key}-role", visitor, offered[:1], start, end)


def signed_by(source: SourceSystem, place: int = 0) -> Json:
    """A reference to a member of staff, by SDS user id: no source can know another system's Practitioner ids."""
    worker = workers(source)[place]
    return known_as("Practitioner", SDS_USER, worker.user_id, worker.display)


PHARMACIST = _worker(PRACTICES[0], 9, ("R8003", "Health professional"))
"""Works in all practices of one network, and is on the staff of none."""
SESSIONAL_GP = workers(PRACTICES[0])[2]
"""Has sessions at another practice, from one day to another."""
FORMER_LOCUM = workers(PRACTICES[2])[2]
"""Was at a practice of another network, and has left it."""

_BEGAN = date(2019, 9, 2)
_VISITS: tuple[tuple[Worker, SourceSystem, date, date | None], ...] = (
    *((PHARMACIST, practice, date(2024, 4, 2), None) for practice in PRACTICES[:3]),
    (SESSIONAL_GP, PRACTICES[1], date(2026, 1, 6), date(2027, 12, 31)),
    (FORMER_LOCUM, PRACTICES[4], date(2025, 10, 1), date(2026, 3, 31)),
)
