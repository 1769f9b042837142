"""Decides what becomes of an open referral when a team closes, merges or splits, or a person hands over. Pure.

A succession changes parties and users. It changes no status, clock, appointment or question: the work goes on where it
stood.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from onestory.referral.appointments.model import appointment_to_json, shown_appointment, upcoming
from onestory.referral.directory.successions import SuccessionKind
from onestory.referral.lifecycle.decide import build_change
from onestory.referral.lifecycle.model import (
    ChangeContext,
    Json,
    Referral,
    ReferralChange,
    ReferralKind,
    Status,
    requesting_parties,
)
from onestory.referral.notices.domain import NOTICE_CODES
from onestory.shared.events import Notice, Party
from onestory.shared.fhir.dates import format_instant

HAND_OVER = "hand-over"
TEAM_CLOSED = "team-closed"
"""The actions of these changes, in the history of a referral."""
_GIVEN_BACK = frozenset({Status.REJECTED, Status.FAILED})


@dataclass(frozen=True, slots=True)
class DirectorySuccession:
    """A succession in force. The parties of a user's succession are one and the same team, or organisation."""

    succession_id: str
    kind: SuccessionKind
    old: Party
    new: Party
    old_user: str = ""
    new_user: str = ""


def hand_over(
    referral: Referral, context: ChangeContext, succession: DirectorySuccession, *, had_claim: bool = False
) -> ReferralChange | None:
    """Return the change that moves an open referral to the successor; None where nothing of it moves.

    `had_claim`: the claim of the former user has ended with the role, and nobody has claimed the referral since.
    """
    if not referral.is_open:
        return None
    after = _moved(referral, succession, had_claim=had_claim)
    if after == referral:
        return None
    after = replace(after, version=referral.version + 1)
    change = build_change(referral, after, HAND_OVER, context)
    notices = _notices(referral, after, HAND_OVER, tell_person=referral.recipient != after.recipient)
    return replace(change, reason=succession.succession_id, notices=notices)


def _moved(referral: Referral, succession: DirectorySuccession, *, had_claim: bool) -> Referral:
    if succession.kind is SuccessionKind.USER:
        has_claim = referral.claimed_by == succession.old_user or (had_claim and not referral.claimed_by)
        claimed = has_claim and referral.recipient == succession.old
        sent = referral.requester_subject == succession.old_user and (
            referral.requester.organisation == succession.old.organisation
        )
        return replace(
            referral,
            claimed_by=succession.new_user if claimed else referral.claimed_by,
            requester_subject=succession.new_user if sent else referral.requester_subject,
        )

    def successor(party: Party) -> Party:
        return succession.new if party == succession.old else party

    referrer, practice = successor(referral.referrer), referral.practice
    if practice:
        practice = successor(Party(practice)).organisation
    # The requester itself never changes: the ids of the resources follow from it.
    return replace(
        referral,
        referrer=referrer,
        practice="" if Party(practice) == referrer else practice,
        sender=successor(referral.sender),
        # A team that gave the referral back has nothing to do with it: its successor may still be asked.
        recipient=referral.recipient if referral.status in _GIVEN_BACK else successor(referral.recipient),
        appointments=tuple(
            replace(each, team=successor(each.team), booked_by=successor(each.booked_by))
            for each in referral.appointments
        ),
    )


def tell_of_closed_team(referral: Referral, context: ChangeContext, team_id: str) -> ReferralChange | None:
    """Return the change that tells the parties that the team takes referrals no more; None where it is not theirs."""
    if not referral.is_open or referral.sent_at is None or referral.recipient.team != team_id:
        return None
    after = replace(referral, version=referral.version + 1)
    change = build_change(referral, after, TEAM_CLOSED, context)
    return replace(change, reason="", notices=_notices(referral, after, TEAM_CLOSED, tell_person=False))


def _notices(before: Referral, after: Referral, action: str, *, tell_person: bool) -> tuple[Notice, ...]:
    """One notice for each party before and after, and for the person whose team is another one now."""
    code = NOTICE_CODES[action]
    parties = dict.fromkeys(_parties(before, after))
    told = [Notice(_part(party, after), party, code) for party in parties]
    is_advice = after.kind is ReferralKind.ADVICE
    return (*told, *([Notice("person", None, code)] if tell_person and after.sent_at and not is_advice else []))


def _parties(before: Referral, after: Referral) -> Iterator[Party]:
    for referral in (after, before):
        yield from requesting_parties(referral)
        yield referral.sender
        if referral.sent_at is not None:
            # The recipient gets no notice about a draft: it has not been sent yet.
            yield referral.recipient


def _part(party: Party, after: Referral) -> str:
    if party in (after.requester, after.referrer):
        return "requester"
    return "holder" if party == after.holder else "recipient"


def handover_summary(referral: Referral, at: datetime) -> Json:
    """Return what a successor needs to know about a referral, as it is before the succession."""
    request = referral.service_request
    summary = {
        "nhsNumber": referral.person.value if referral.person.is_nhs_number else "",
        "referral": referral.referral_id,
        "task": referral.task_id,
        "what": _text(request.get("code")),
        "reasons": [_text(reason) for reason in request.get("reasonCode", ())],
        "priority": referral.priority,
        "status": str(referral.status),
        "businessStatus": referral.business_status,
        "requester": referral.referrer.organisation,
        "holder": _party(referral.holder),
        "nextActor": _party(referral.next_actor),
        "sent": referral.sent_at and format_instant(referral.sent_at),
        "due": referral.due_at and format_instant(referral.due_at),
        "overdue": referral.due_at is not None and referral.due_at <= at,
        "until": referral.until and format_instant(referral.until),
        "appointments": [shown_appointment(appointment_to_json(each)) for each in upcoming(referral.appointments, at)],
        "openQuestion": bool(referral.question_id),
        "claimedBy": referral.claimed_by,
    }
    return {name: value for name, value in summary.items() if value not in ("", None, [])}


def _party(party: Party | None) -> Json | None:
    return {"organisation": party.organisation, "team": party.team} if party else None


def _text(concept: Json | None) -> str:
    concept = concept or {}
    codings = concept.get("coding", ())
    return str(concept.get("text") or next((each["display"] for each in codings if each.get("display")), ""))
