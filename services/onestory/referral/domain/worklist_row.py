"""A row of a worklist: what somebody has to know of a referral to choose it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onestory.referral.domain.referral import Json, Referral
from onestory.referral.domain.worklist import ACTING, Whose
from onestory.shared.events import Party
from onestory.shared.fhir.instants import format_instant


@dataclass(frozen=True, slots=True)
class Names:
    """What the directory calls teams (by id), organisations (by ODS code) and users."""

    teams: Mapping[str, str]
    organisations: Mapping[str, str]
    users: Mapping[str, str]


def row(referral: Referral, names: Names, whose: Whose, at: datetime) -> dict[str, Any]:
    """The row, as JSON. It has the person's NHS number and no name: this room does not know the person by name.

    Who has claimed it is told to the side that does the work, and to nobody else.
    """
    request = referral.service_request
    claimed = referral.claimed_by if referral.status in ACTING and referral.recipient.team in whose.recipients else ""
    return {
        "referral": referral.referral_id,
        "task": referral.task_id,
        "version": f'W/"{referral.changed_by}"',
        "person": {"system": referral.person.system, "value": referral.person.value},
        "kind": str(referral.kind),
        "priority": referral.priority,
        "status": str(referral.status),
        "businessStatus": referral.business_status,
        "code": _text(request.get("code")),
        "reason": "; ".join(filter(None, map(_text, request.get("reasonCode") or ()))),
        "statusReason": _text(referral.reason.concept) if referral.reason else "",
        "requester": _party(referral.requester, names),
        "recipient": _party(referral.recipient, names),
        "holder": _party(referral.holder, names),
        "nextActor": _party(referral.next_actor, names),
        "yourTurn": whose.is_turn(referral),
        "claimedBy": {"user": claimed, "name": names.users.get(claimed, "")} if claimed else None,
        "dueAt": _instant(referral.due_at),
        "breached": referral.due_at is not None and referral.due_at <= at,
        "escalatedAt": _instant(referral.escalated_at),
        "sentAt": _instant(referral.sent_at),
        "changedAt": _instant(referral.changed_at),
    }


def to_name(referrals: Sequence[Referral]) -> tuple[set[str], set[str], set[str]]:
    """The teams, organisations and users for whom rows need names."""
    parties = {
        party for each in referrals for party in (each.requester, each.recipient, each.holder, each.next_actor) if party
    }
    users = {each.claimed_by for each in referrals if each.claimed_by}
    return {each.team for each in parties if each.team}, {each.organisation for each in parties}, users


def _party(party: Party | None, names: Names) -> Json | None:
    if party is None:
        return None
    return {
        "organisation": party.organisation,
        "organisationName": names.organisations.get(party.organisation, ""),
        "team": party.team,
        "teamName": names.teams.get(party.team, ""),
    }


def _text(concept: Any) -> str:
    """How a CodeableConcept is shown: its text, else what a coding displays, else a code."""
    if not isinstance(concept, Mapping):
        return ""
    codings = concept.get("coding") or ()
    shown = (each.get(part) for part in ("display", "code") for each in codings)
    return str(concept.get("text") or next(filter(None, shown), ""))


def _instant(moment: datetime | None) -> str | None:
    return format_instant(moment) if moment else None
