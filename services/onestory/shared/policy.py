"""Decides how much of a person's record a caller may see, with the reason for the audit event. Pure.

The decision follows from the caller's network, the person's open referrals, and the sources of the record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from onestory.shared.networks import Networks


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller, from the claims of a verified token: `org`, `system`, `sub`, `role`, `network`, `purpose`, `exp`.

    `organisation` is an ODS code. `expires_at` is in seconds since 1970. `has_system_claim`: the token names its
    system, and acts for no other one. Two callers are the same if organisation, system and subject are: a limit for
    one caller must not grow with the roles that the caller may choose.
    """

    organisation: str
    system: str
    subject: str
    role: str = field(compare=False)
    network: str = field(compare=False)
    purpose: str = field(compare=False)
    expires_at: float = field(default=math.inf, compare=False)
    has_system_claim: bool = field(default=False, compare=False)


class Visibility(StrEnum):
    """The part of a record that a caller sees: all, the statements of the caller's own organisation, or nothing."""

    ALL = "all"
    OWN = "own"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class OpenReferral:
    """An open referral of a person: the requester, and the organisations that are responsible for it (ODS codes)."""

    requester: str
    responsible: frozenset[str]


@dataclass(frozen=True, slots=True)
class PolicySubject:
    """The facts about a person that the decision needs.

    `sources` are the organisations with statements in the record; all organisations are ODS codes. `is_restricted` is
    true when a demographic authority or the registered practice marks the person as confidential (v3-Confidentiality R
    or V).
    """

    registered_practice: str | None
    sources: frozenset[str]
    referrals: tuple[OpenReferral, ...] = ()
    is_restricted: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The visibility, and the reason that goes into the audit event.

    `sees_restricted` is false where statements with a label R or V stay hidden, except the caller's own.
    """

    visibility: Visibility
    reason: str
    sees_restricted: bool = True


def decide(caller: Caller, subject: PolicySubject, networks: Networks, at: datetime) -> Decision:
    """Return how much of the record the caller sees at this moment.

    - All: the caller is in the network of the registered practice.
    - All but statements with a label R or V: that network has an open referral with the caller's organisation, and the
      person is not restricted.
    - Own statements: the caller's organisation is a source of the record.
    - Nothing: otherwise.

    A referral grants access only if its requester is in the registered practice's network. So no organisation gains
    access when it refers a person to itself.
    """
    practice = subject.registered_practice
    of_practice = networks.networks_of(practice, at) if practice else frozenset()
    if of_practice & networks.networks_of_caller(caller.organisation, caller.network, at):
        return Decision(Visibility.ALL, "registered-practice-network")
    if not subject.is_restricted and any(
        caller.organisation in referral.responsible - {referral.requester}
        and (practice == referral.requester or of_practice & networks.networks_of(referral.requester, at))
        for referral in subject.referrals
        if practice
    ):
        return Decision(Visibility.ALL, "open-referral", sees_restricted=False)
    if caller.organisation in subject.sources:
        return Decision(Visibility.OWN, "own-statements")
    return Decision(Visibility.NONE, "no-relationship")
