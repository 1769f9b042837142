"""The organisations of the synthetic care network, their source systems, and the networks of the practices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SourceKind = Literal[
    "gp",
    "community",
    "social-care",
    "mental-health",
    "hospital",
    "demographics",
    "directory",
    "charity",
    "federation",
    "ambulance",
]


@dataclass(frozen=True, slots=True)
class SourceSystem:
    """One source: a system of an organisation. `ods` and `system` together name it in every Bundle of its own."""

    ods: str
    system: str
    name: str
    kind: SourceKind
    network: str = ""
    """The network that a practice belongs to; empty for every other kind."""
    postcode: str = "ZZ99 3WZ"
    """ZZ99 is the pseudo area of the NHS Postcode Directory: no real address has it."""


PRACTICES: tuple[SourceSystem, ...] = (
    SourceSystem("A81001", "emis-web", "Harbour Street Surgery", "gp", "harbour", "ZZ99 1AA"),
    SourceSystem("A81002", "systmone", "Lantern Quay Medical Centre", "gp", "harbour", "ZZ99 1AB"),
    SourceSystem("A81003", "emis-web", "Old Lighthouse Practice", "gp", "harbour", "ZZ99 1AD"),
    SourceSystem("A81004", "systmone", "Moorside Group Practice", "gp", "moor", "ZZ99 2AA"),
    SourceSystem("A81005", "emis-web", "Upper Dale Surgery", "gp", "moor", "ZZ99 2AB"),
    SourceSystem("A81006", "systmone", "Weir Lane Family Doctors", "gp", "weir", "ZZ99 3AA"),
)
COMMUNITY = SourceSystem("RZ1", "rio", "Vale Community Health NHS Trust", "community", postcode="ZZ99 4AA")
SOCIAL_CARE = SourceSystem("990", "mosaic", "Vale County Council Adult Social Care", "social-care", postcode="ZZ99 4AB")
MENTAL_HEALTH = SourceSystem(
    "RZ2", "carenotes", "Dale and Harbour Mental Health NHS Trust", "mental-health", postcode="ZZ99 4AD"
)
HOSPITAL = SourceSystem(
    "RZ3", "millennium", "Vale Royal Hospital NHS Foundation Trust", "hospital", postcode="ZZ99 4AE"
)
DEMOGRAPHICS = SourceSystem("X26", "pds", "Personal Demographics Service", "demographics", postcode="ZZ99 4AF")
DIRECTORY = SourceSystem("QVV", "directory", "Vale Integrated Care Board", "directory", postcode="ZZ99 4AG")
CHARITY = SourceSystem("VC1", "elemental", "Vale Community Links CIC", "charity", postcode="ZZ99 4AH")
FEDERATION = SourceSystem("VF1", "rotamaster", "Vale GP Federation", "federation", postcode="ZZ99 4AJ")
AMBULANCE = SourceSystem("RYV", "cleric", "Vale Ambulance Service NHS Trust", "ambulance", postcode="ZZ99 4AL")

SOURCES: tuple[SourceSystem, ...] = (
    DEMOGRAPHICS,
    *PRACTICES,
    COMMUNITY,
    SOCIAL_CARE,
    MENTAL_HEALTH,
    HOSPITAL,
    DIRECTORY,
    CHARITY,
    FEDERATION,
    AMBULANCE,
)

NETWORKS: dict[str, str] = {practice.ods: practice.network for practice in PRACTICES}
"""Practice ODS code -> network, as the directory authority states it."""

DIRECTORY_AUTHORITIES: tuple[str, ...] = (DIRECTORY.ods,)
"""ODS codes for the setting ONESTORY_DIRECTORY_AUTHORITIES: they state the members of networks."""

DEMOGRAPHIC_AUTHORITIES: tuple[str, ...] = (DEMOGRAPHICS.ods,)
"""ODS codes for the setting ONESTORY_DEMOGRAPHIC_AUTHORITIES: they supersede NHS numbers and register people."""
