"""Who may see what: one pure decision with its reason. By network, referral and source; the access room widens it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from onestory.shared.http.caller import Caller


class Visibility(StrEnum):
    """What of a person's record a caller sees: all of it, what the caller's organisation said itself, or nothing."""

    ALL = "all"
    OWN = "own"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class OpenReferral:
    """An open referral of a person: the organisation that asked for it, and those that have it in their hands."""

    requester: str
    hands: frozenset[str]


@dataclass(frozen=True, slots=True)
class Subject:
    """What the policy needs to know of a person: the registered practice (ODS code), who has said something, and the
    open referrals. `is_restricted`: a source says that the person is to be shown to few (v3-Confidentiality R or V).
    """

    registered_practice: str | None
    sources: frozenset[str]
    referrals: tuple[OpenReferral, ...] = ()
    is_restricted: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What the caller sees, and the reason that goes to the audit event."""

    visibility: Visibility
    reason: str


def may(caller: Caller, subject: Subject, networks: Mapping[str, str]) -> Decision:
    """All of the record within the network of the registered practice, and for those to whom that network has referred
    the person, until the referral ends; what one said oneself; else nothing.

    `networks` maps a practice's ODS code to its network. Nobody opens a record by a referral who does not see all of it
    as things are, so nobody gains anything by referring somebody to themselves.
    """
    practice = subject.registered_practice
    network = networks.get(practice) if practice else None
    if network and caller.network == network:
        return Decision(Visibility.ALL, "registered-practice-network")
    if not subject.is_restricted and any(
        caller.organisation in referral.hands - {referral.requester}
        and _is_of_network(referral.requester, practice, network, networks)
        for referral in subject.referrals
    ):
        return Decision(Visibility.ALL, "open-referral")
    if caller.organisation in subject.sources:
        return Decision(Visibility.OWN, "own-statements")
    return Decision(Visibility.NONE, "no-relationship")


def _is_of_network(requester: str, practice: str | None, network: str | None, networks: Mapping[str, str]) -> bool:
    """Whether a referral was asked for by the registered practice, or by another practice of its network."""
    return bool(practice) and (requester == practice or (bool(network) and networks.get(requester) == network))
