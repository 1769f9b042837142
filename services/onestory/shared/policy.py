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
    """The part of a record that a caller sees: all, the statements of the caller's own organisation with what a
    referral carries to it, or nothing.
    """

    ALL = "all"
    OWN = "own"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Opener:
    """An organisation whose referral may open the record: a requester on the journey, by ODS code.

    `sent_at` is Kafka's time of the change that sent its referral; None for a draft. `was_within`: it was in the
    network of the practice where the person was registered then.
    """

    organisation: str
    sent_at: datetime | None = None
    was_within: bool = False


@dataclass(frozen=True, slots=True)
class PersonReferral:
    """A referral of a person. All organisations are ODS codes.

    - `responsible`: the organisations that have it, while it is open; else empty.
    - `openers`: its requester, and those of the referrals that it continues.
    - `journey`: the requesters, and the recipients that have accepted, of all referrals on its journey.
    - `carried`: (shared id, organisation) of what an organisation has sent with it.
    """

    requester: str
    responsible: frozenset[str]
    openers: tuple[Opener, ...] = ()
    journey: frozenset[str] = frozenset()
    carried: frozenset[tuple[str, str]] = frozenset()

    def concerns(self, organisation: str) -> bool:
        """Whether this organisation has the open referral of another one."""
        return any(organisation in self.responsible - {opener.organisation} for opener in self.openers)

    def opens_for(self, organisation: str, practice: str | None, networks: Networks, at: datetime) -> bool:
        """Whether this organisation has it, and another one sent it from within the network, now or at that time."""
        return any(
            organisation in self.responsible - {opener.organisation}
            and (opener.was_within or is_within_network(opener.organisation, practice, networks, at))
            for opener in self.openers
        )


@dataclass(frozen=True, slots=True)
class SentContent:
    """The part of a record that referrals have carried to a caller.

    `items` are (shared id, sender); `senders_with_access` are those who see the whole record. `knows_person`: the
    caller is asked by an open referral, and so reads the name and the contact of the person.
    """

    items: frozenset[tuple[str, str]] = frozenset()
    senders_with_access: frozenset[str] = frozenset()
    knows_person: bool = False

    def has(self, shared_id: str, organisation: str) -> bool:
        """Whether a resource of this organisation was sent by itself, or by a sender who sees the whole record."""
        senders = (organisation, *self.senders_with_access)
        return any((shared_id, sender) in self.items for sender in senders)


@dataclass(frozen=True, slots=True)
class PolicySubject:
    """The facts about a person that the decision needs.

    `sources` are the organisations with statements in the record; all organisations are ODS codes. `is_restricted` is
    true when a demographic authority or the registered practice marks the person as confidential (v3-Confidentiality R
    or V).
    """

    registered_practice: str | None
    sources: frozenset[str]
    referrals: tuple[PersonReferral, ...] = ()
    is_restricted: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The visibility, and the reason that goes into the audit event.

    `sees_restricted` is false where statements with a label R or V stay hidden, except the caller's own. `content` is
    what a caller with visibility `own` sees besides its own statements.
    """

    visibility: Visibility
    reason: str
    sees_restricted: bool = True
    content: SentContent = SentContent()


def decide(caller: Caller, subject: PolicySubject, networks: Networks, at: datetime) -> Decision:
    """Return how much of the record the caller sees at this moment.

    - All: the caller is in the network of the registered practice.
    - All but statements with a label R or V: that network has an open referral with the caller's organisation, or had
      it when the referral was sent, and the person is not restricted.
    - Own statements, and what referrals carry: the caller's organisation is a source of the record, is asked by an
      open referral, or gets something back from one.
    - Nothing: otherwise.

    A referral opens the record only if its requester is in the registered practice's network, or was in it when the
    referral was sent; for a referral that continues another one, the requester of either. So no organisation gains
    access when it refers a person to itself, and a team keeps the record of a person whom it treats when the person
    moves to another practice.
    """
    practice = subject.registered_practice
    of_practice = networks.networks_of(practice, at) if practice else frozenset()
    if of_practice & networks.networks_of_caller(caller.organisation, caller.network, at):
        return Decision(Visibility.ALL, "registered-practice-network")
    if not subject.is_restricted and any(
        referral.opens_for(caller.organisation, practice, networks, at) for referral in subject.referrals
    ):
        return Decision(Visibility.ALL, "open-referral", sees_restricted=False)
    content = _sent_content(caller.organisation, subject, networks, at)
    if content.knows_person or content.items:
        return Decision(Visibility.OWN, "referral-content", content=content)
    if caller.organisation in subject.sources:
        return Decision(Visibility.OWN, "own-statements")
    return Decision(Visibility.NONE, "no-relationship")


def _sent_content(organisation: str, subject: PolicySubject, networks: Networks, at: datetime) -> SentContent:
    """What referrals carry to an organisation: all of an open one that it is asked by, and what others have sent to
    the parties of its own, also after the end.
    """
    asked = [referral for referral in subject.referrals if referral.concerns(organisation)]
    own = [referral for referral in subject.referrals if organisation == referral.requester]
    journey = [referral for referral in subject.referrals if organisation in referral.journey]
    items = {item for referral in (*asked, *own, *journey) for item in referral.carried if item[1] != organisation}
    practice = subject.registered_practice
    senders = {
        sender
        for _, sender in items
        if is_within_network(sender, practice, networks, at)
        or any(opener.organisation == sender and opener.was_within for referral in asked for opener in referral.openers)
    }
    return SentContent(frozenset(items), frozenset(senders), bool(asked))


def is_within_network(organisation: str, practice: str | None, networks: Networks, at: datetime) -> bool:
    """Return whether the organisation is this practice, or shares a network with it at this moment."""
    if not practice:
        return False
    return organisation == practice or bool(networks.networks_of(organisation, at) & networks.networks_of(practice, at))
