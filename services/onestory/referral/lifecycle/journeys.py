"""Journeys: a holder refers on, and its referral continues the one that it holds (ServiceRequest.basedOn). Pure.

http://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.basedOn. Those on a journey read each referral of
it and its outcomes. They are the requesters, and the recipients that have accepted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from onestory.referral.lifecycle.creation import ReferralRequest
from onestory.referral.lifecycle.letters import LETTER
from onestory.referral.lifecycle.model import (
    HELD_BY_RECIPIENT,
    Action,
    Json,
    Referral,
    ReferralChange,
    ReferralKind,
    ReferralParties,
    Side,
    Status,
    requesting_parties,
)
from onestory.referral.notices.domain import NOTICE_CODES
from onestory.shared.errors import Unprocessable
from onestory.shared.events import Notice, Party
from onestory.shared.identity import parse_shared_id

TOLD_TO_JOURNEY: frozenset[str] = frozenset(
    {
        Action.REQUEST,
        Action.ACCEPT,
        Action.REJECT,
        Action.REDIRECT,
        Action.COMPLETE,
        Action.FAIL,
        Action.CANCEL,
        Action.CORRECT,
        LETTER,
    }
)
"""The actions that the others on a journey hear of: not each message and claim."""


@dataclass(frozen=True, slots=True)
class Continued:
    """The referral that a new one continues, and the party on it that asks: its recipient, or its requester.

    `is_named`: ServiceRequest.basedOn names it. Otherwise it is the only one that the caller holds.
    """

    referral_id: str
    party: Party
    is_named: bool


Sides = Mapping[str, frozenset[Side]]
"""By referral id, the sides for which the caller may act."""


def continued_referral(
    request: ReferralRequest, referrals: Collection[ReferralParties], sides: Sides, *, of_practice: bool
) -> Continued | None:
    """The referral of the person that a request continues; None: it begins a journey.

    Without basedOn it is the only referral that the caller holds. Of several, basedOn has to name one. A practice that
    has the person registered (`of_practice`), and advice, begin a journey, unless they name a referral.

    Raises `Unprocessable` where basedOn names a referral that the caller may not continue.
    """
    named = set(_named_in(request.body))
    found = [referral for referral in referrals if referral.referral_id in named]
    for referral in found:
        if party := _continuing_party(referral, sides.get(referral.referral_id, frozenset())):
            return Continued(referral.referral_id, party, True)
    if found:
        raise Unprocessable(
            "basedOn names a referral that your team does not hold: name one that it has accepted and not ended, or "
            "leave basedOn out.",
            code="business-rule",
            expression="ServiceRequest.basedOn",
        )
    held = held_referrals(referrals, sides)
    if of_practice or request.kind is ReferralKind.ADVICE or len(held) != 1:
        return None
    return Continued(held[0].referral_id, held[0].recipient, False)


def held_referrals(referrals: Collection[ReferralParties], sides: Sides) -> list[ReferralParties]:
    """The open referrals that the caller holds as their recipient."""
    return [
        referral
        for referral in referrals
        if Side.RECIPIENT in sides.get(referral.referral_id, ())
        and referral.is_open
        and referral.status in HELD_BY_RECIPIENT
    ]


def unlinked_warning(
    referral: Referral, referrals: Collection[ReferralParties], sides: Sides, *, of_practice: bool
) -> tuple[str, ...]:
    """A warning where a new referral continues none, though the caller holds several."""
    if referral.based_on or of_practice or referral.kind is ReferralKind.ADVICE:
        return ()
    held = held_referrals(referrals, sides)
    if len(held) < 2:
        return ()
    return (
        f"Your team holds {len(held)} referrals of this person, and basedOn names none of them. So the team that you "
        "ask reads what this referral carries, and not the record. Name one in basedOn to refer on.",
    )


def known_to_team_warning(recipient: Party, referrals: Collection[ReferralParties], sides: Sides) -> tuple[str, ...]:
    """A warning where the team has an open referral of this person already that the caller may act on.

    Other referrals are not named: the caller must not learn of them.
    """
    known = [
        referral.referral_id
        for referral in referrals
        if referral.is_open and referral.recipient == recipient and sides.get(referral.referral_id)
        if referral.status in HELD_BY_RECIPIENT or referral.status in (Status.REQUESTED, Status.RECEIVED)
    ]
    if not known:
        return ()
    return (
        f"The team has an open referral of this person already: ServiceRequest/{known[0]}. If it is about the same "
        "need, use $amend or $message there, and $cancel this one.",
    )


def with_based_on(request: ReferralRequest, continued: Continued) -> ReferralRequest:
    """The request, whose ServiceRequest names the referral that it continues."""
    if continued.is_named:
        return request
    based_on = [*request.body.get("basedOn", ()), {"reference": f"ServiceRequest/{continued.referral_id}"}]
    return replace(request, body={**request.body, "basedOn": based_on})


def others_on_journey(referral_id: str, referrals: Collection[ReferralParties]) -> list[ReferralParties]:
    """The other referrals of the person that are on the same journey."""
    by_id = {referral.referral_id: referral for referral in referrals}
    if referral_id not in by_id:
        return []
    first = _first(by_id[referral_id], by_id)
    return [
        referral for referral in referrals if referral.referral_id != referral_id and _first(referral, by_id) == first
    ]


def journey_before(based_on: str, referrals: Collection[ReferralParties]) -> list[ReferralParties]:
    """The referrals on the journey that a new referral continues; none where it begins one."""
    return [*(each for each in referrals if each.referral_id == based_on), *others_on_journey(based_on, referrals)]


def parties_on_journey(referral: ReferralParties) -> tuple[Party, ...]:
    """The parties that read the journey because of this referral: a recipient from its acceptance on."""
    if referral.sent_at is None:
        return ()
    has_taken_part = referral.status in HELD_BY_RECIPIENT or referral.status is Status.COMPLETED
    recipient = [referral.recipient] if has_taken_part else []
    return (*requesting_parties(referral), *recipient)


def is_on_journey(referral: ReferralParties, sides: Collection[Side]) -> bool:
    """Whether a caller on these sides of this referral reads the others of its journey."""
    if referral.sent_at is None:
        return False
    has_taken_part = referral.status in HELD_BY_RECIPIENT or referral.status is Status.COMPLETED
    return has_taken_part if set(sides) == {Side.RECIPIENT} else bool(sides)


def with_journey_notices(
    change: ReferralChange, others: Collection[ReferralParties], practice: str = ""
) -> ReferralChange:
    """The change, with notices to those on the other referrals of its journey: one for each party.

    The registered practice (ODS code) of the person is told too, also where a hospital began the journey.
    """
    if change.action not in TOLD_TO_JOURNEY or change.referral.sent_at is None:
        return change
    told = {notice.party for notice in change.notices} | {change.context.acting_party}
    parties = dict.fromkeys(party for referral in others for party in parties_on_journey(referral))
    more = [Notice("journey", party, NOTICE_CODES[change.action]) for party in parties if party not in told]
    if practice and change.referral.based_on and Party(practice) not in told | parties.keys():
        more.append(Notice("practice", Party(practice), NOTICE_CODES[change.action]))
    return replace(change, notices=(*change.notices, *more))


def _named_in(body: Json) -> Iterator[str]:
    for reference in body.get("basedOn", ()):
        kind, _, name = str(reference.get("reference", "")).rpartition("/")
        if kind.endswith("ServiceRequest") and parse_shared_id(name):
            yield name


def _continuing_party(referral: ReferralParties, sides: Collection[Side]) -> Party | None:
    """The party for which a caller on these sides continues a referral; None where it may not."""
    if Side.RECIPIENT in sides and referral.is_open and referral.status in HELD_BY_RECIPIENT:
        return referral.recipient
    return referral.referrer if Side.REQUESTER in sides else None


def _first(referral: ReferralParties, by_id: Mapping[str, ReferralParties]) -> str:
    passed = {referral.referral_id}
    while (earlier := by_id.get(referral.based_on)) and earlier.referral_id not in passed:
        referral = earlier
        passed.add(referral.referral_id)
    return referral.referral_id
