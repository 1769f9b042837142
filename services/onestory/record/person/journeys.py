"""The referrals of a person as journeys: which organisations each one opens the record for. Pure.

A referral that its holder makes continues the one that it holds (ServiceRequest.basedOn). Both are on one journey.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from onestory.record.projector.referral import responsible_organisations
from onestory.shared.policy import Opener, PersonReferral

# A recipient that takes part: it has accepted, and not ended the referral.
_TAKES_PART = {"accepted", "in-progress", "on-hold"}


class StoredReferral(NamedTuple):
    """A referral as it stands in the record. Organisations are ODS codes.

    `sent_at` is Kafka's time of the change that sent it. `carried` has texts `<shared id> <organisation>`.
    """

    referral_id: str
    requester: str
    recipient: str
    holder: str | None
    status: str
    is_open: bool
    based_on: str
    sent_at: datetime | None
    carried: Sequence[str] = ()


def person_referrals(stored: Collection[StoredReferral]) -> list[PersonReferral]:
    """The referrals of one person, as policy needs them."""
    by_id = {referral.referral_id: referral for referral in stored}
    members: dict[str, set[str]] = {}
    for referral in stored:
        members.setdefault(_first(referral, by_id).referral_id, set()).update(_organisations(referral))
    return [_person_referral(referral, by_id, members) for referral in stored]


def _person_referral(
    referral: StoredReferral, by_id: Mapping[str, StoredReferral], members: Mapping[str, set[str]]
) -> PersonReferral:
    responsible = responsible_organisations(referral.recipient, referral.holder, referral.status)
    # A referral that was a mistake carries nothing: it may be about another person.
    pairs = [text.partition(" ") for text in referral.carried if referral.status != "entered-in-error"]
    return PersonReferral(
        requester=referral.requester,
        responsible=responsible if referral.is_open else frozenset(),
        openers=tuple(Opener(each.requester, each.sent_at) for each in _with_earlier(referral, by_id)),
        journey=frozenset(members[_first(referral, by_id).referral_id]),
        carried=frozenset((shared_id, organisation) for shared_id, _, organisation in pairs),
    )


def _organisations(referral: StoredReferral) -> set[str]:
    """The organisations that read on the journey because of this referral."""
    recipient = {referral.recipient} if referral.status in _TAKES_PART else set()
    return {referral.requester} | recipient


def _with_earlier(referral: StoredReferral, by_id: Mapping[str, StoredReferral]) -> Iterator[StoredReferral]:
    """This referral, and those that it continues, the last first."""
    passed: set[str] = set()
    following: StoredReferral | None = referral
    while following is not None and following.referral_id not in passed:
        yield following
        passed.add(following.referral_id)
        following = by_id.get(following.based_on)


def _first(referral: StoredReferral, by_id: Mapping[str, StoredReferral]) -> StoredReferral:
    *_, first = _with_earlier(referral, by_id)
    return first
