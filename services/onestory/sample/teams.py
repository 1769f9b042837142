"""The teams of the network that take referrals: what each does, whom it serves, and whom it names when nobody acts."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

from onestory.sample.codes.code import Code
from onestory.sample.elements import Json, concept
from onestory.sample.network import PRACTICES, SOURCES, Source


class TeamKind(NamedTuple):
    """What a team does: a code of the CodeSystem team-kind, and the type of its service."""

    code: str
    type: Json


class Team(NamedTuple):
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
def teams(source: Source) -> tuple[Team, ...]:
    """The teams of an organisation, in the order of its directory."""
    return tuple(_teams(source))


def _teams(source: Source) -> Iterator[Team]:
    offered = ((_GENERAL, source.network),) if source.kind == "gp" else _OF_KIND.get(source.kind, ())
    for place, (kind, network) in enumerate(offered):
        number = SOURCES.index(source) * 10 + place
        serves = tuple(each.ods for each in PRACTICES if network in (_EVERYBODY, each.network))
        area = network.title() if source.kind != "gp" else ""
        yield Team(
            local_id=f"{source.ods}-service-{place}",
            name=", ".join(filter(None, (kind.type["text"], area, source.name))),
            kind=kind,
            network=network,
            practices=(source.ods,) if source.kind == "gp" else serves,
            # Ofcom keeps 01632 960000 to 960999 for fiction.
            dos_service_id=f"2000{number:06d}",
            phone=f"01632 960{number:03d}",
        )
