"""Who may see what: one pure decision with its reason. Today by network and by source; the access room widens it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from onestory.shared.caller import Caller


class Visibility(StrEnum):
    """What of a person's record a caller sees: all of it, what the caller's organisation said itself, or nothing."""

    ALL = "all"
    OWN = "own"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Subject:
    """What the policy needs to know of a person: the registered practice (ODS code), and who has said something."""

    registered_practice: str | None
    sources: frozenset[str]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the caller sees, and the reason that goes to the audit event."""

    visibility: Visibility
    reason: str


def may(caller: Caller, subject: Subject, networks: Mapping[str, str]) -> Decision:
    """All of the record within the network of the registered practice; what one said oneself; else nothing.

    `networks` maps a practice's ODS code to its network.
    """
    practice = subject.registered_practice
    network = networks.get(practice) if practice else None
    if network and caller.network == network:
        return Decision(Visibility.ALL, "registered-practice-network")
    if caller.organisation in subject.sources:
        return Decision(Visibility.OWN, "own-statements")
    return Decision(Visibility.NONE, "no-relationship")
