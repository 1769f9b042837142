"""The teams of the synthetic area: what each organisation offers, to which practices."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

from onestory.sample.codes import Code
from onestory.sample.network import PRACTICES, SOURCES, SourceSystem
from onestory.sample.resources import Json, concept

DOS_SERVICE = "https://fhir.nhs.uk/Id/dos-service-id"
ONESTORY = "https://onestory.nhs.uk"


class TeamKind(NamedTuple):
    """The kind of a team: a code of the CodeSystem team-kind, and the type of its service."""

    code: str
    type: Json


class SampleTeam(NamedTuple):
    """A HealthcareService that takes referrals from `practices` (ODS codes).

    `network` is the network of these practices, or empty when they belong to several.
    """

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
_PHYSIOTHERAPY = TeamKind("physiotherapy", {"text": "First contact physiotherapy"})
_LINK_WORKERS = TeamKind("social-prescribing", {"text": "Social prescribing link workers"})
_MENTAL_IN_PRACTICES = TeamKind("mental-health-practitioners", {"text": "Mental health practitioners in primary care"})
_PHARMACISTS = TeamKind("primary-care-pharmacy", {"text": "Clinical pharmacists"})
_PARAMEDICS = TeamKind("paramedics", {"text": "Paramedics for home visits"})
_SESSIONAL = TeamKind("sessional-doctors", {"text": "Sessional doctors"})

_ALL_NETWORKS = ""
_OFFERED_TEAMS: dict[str, tuple[tuple[TeamKind, str], ...]] = {
    "community": (
        (_NURSING, "harbour"),
        (_VISITING, _ALL_NETWORKS),
        (_NURSING, "moor"),
        (_NURSING, "weir"),
        (_PHYSIOTHERAPY, _ALL_NETWORKS),
    ),
    "social-care": ((_SOCIAL, _ALL_NETWORKS),),
    "mental-health": ((_MENTAL, _ALL_NETWORKS), (_MENTAL_IN_PRACTICES, _ALL_NETWORKS)),
    "hospital": ((_CARDIOLOGY, _ALL_NETWORKS), (_ORTHOPAEDICS, _ALL_NETWORKS)),
    "charity": ((_LINK_WORKERS, _ALL_NETWORKS),),
    "federation": ((_PHARMACISTS, _ALL_NETWORKS), (_SESSIONAL, _ALL_NETWORKS)),
    "ambulance": ((_PARAMEDICS, _ALL_NETWORKS),),
}
"""Kind of organisation -> the teams that it offers, each with the network that it serves."""


@functools.cache
def teams(source: SourceSystem) -> tuple[SampleTeam, ...]:
    """The teams of an organisation, in the order of its directory."""
    return tuple(_teams(source))


def _teams(source: SourceSystem) -> Iterator[SampleTeam]:
    offered = ((_GENERAL, source.network),) if source.kind == "gp" else _OFFERED_TEAMS.get(source.kind, ())
    for index, (kind, network) in enumerate(offered):
        number = SOURCES.index(source) * 10 + index
        serves = tuple(practice.ods for practice in PRACTICES if network in (_ALL_NETWORKS, practice.network))
        area = network.title() if source.kind != "gp" else ""
        yield SampleTeam(
            local_id=f"{source.ods}-service-{index}",
            name=", ".join(filter(None, (kind.type["text"], area, source.name))),
            kind=kind,
            network=network,
            practices=(source.ods,) if source.kind == "gp" else serves,
            # Ofcom keeps 01632 960000 to 960999 for fiction.
            dos_service_id=f"2000{number:06d}",
            phone=f"01632 960{number:03d}",
        )
