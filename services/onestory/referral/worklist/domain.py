"""What a worklist is: whose it is, what of it is asked for, in which order, and from where on."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from onestory.referral.lifecycle.model import Json, Referral, Status
from onestory.shared.errors import Malformed
from onestory.shared.events import Party
from onestory.shared.fhir.dates import format_instant

_SNAPSHOT = re.compile(r"[0-9]{1,18}:[0-9]{1,18}:(?:[0-9]{1,18}(?:,[0-9]{1,18})*)?")
_LONGEST_SNAPSHOT = 4_000
_ID = re.compile(r"[a-z0-9-]{1,64}")
ACTING = (Status.REQUESTED, Status.RECEIVED, Status.ACCEPTED, Status.IN_PROGRESS, Status.ON_HOLD)
"""In which its recipient has a referral: not before it is sent, and not once it is rejected or has failed."""
OPEN = (*ACTING, Status.DRAFT, Status.REJECTED, Status.FAILED)
"""In which a referral can be open."""


class Sort(StrEnum):
    """The orders of a list: each ends with the referral's id, so that none is ambiguous."""

    URGENCY = "urgency"
    """By priority, what is due first before what is due later: so what is overdue comes first in each."""
    DUE = "due"
    SENT = "sent"
    """What has waited longest first."""
    CHANGED = "changed"
    """What was changed last first."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose list: of these teams, of what this organisation has sent (`requester`), and of what this user (`claimer`)
    has claimed for these teams.

    A team's list is what it was asked and has not given back, what it holds otherwise (passed on, not accepted yet),
    and what it passed on and is asked about. `received_only` leaves the latter two out. `across`: the teams are all of
    one user, so they may change.
    """

    teams: tuple[str, ...] = ()
    requester: str = ""
    claimer: str = ""
    claimed_for: tuple[str, ...] = ()
    received_only: bool = False
    across: bool = False

    @property
    def recipients(self) -> frozenset[str]:
        """The teams on whose side the reader stands."""
        return frozenset((*self.teams, *self.claimed_for))

    def is_turn(self, referral: Referral) -> bool:
        """Whether it is whose list it is that has to act."""
        party = referral.next_actor
        if party is None:
            return False
        return party.organisation == self.requester if self.requester else party.team in self.recipients

    def left_by(self, referral: Referral) -> str:
        """Why it is on the list no longer: the status with which it left, or that somebody else has it."""
        theirs = self.requester or referral.recipient.team in self.recipients
        return str(referral.status) if theirs else "elsewhere"


@dataclass(frozen=True, slots=True)
class Filters:
    """What of a list is asked for; empty: everything. `claimed` is `me`, `nobody` or `anybody`."""

    status: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    breached: bool | None = None
    claimed: str = ""
    requester: str = ""
    mine_next: bool = False


@dataclass(frozen=True, slots=True)
class RowPlace:
    """After which row a page begins: what the order goes by, and the referral's id."""

    keys: tuple[int | datetime, ...]
    referral_id: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a reader is who goes through pages. `at` is when the first was made.

    Rows come in rounds. The first is the list as it stands in the database's snapshot `until`; each later one is what
    was changed after `since`, the snapshot before it. So every version of a row that a reader has not seen comes once,
    and none is passed over because it has moved meanwhile.
    """

    at: datetime
    since: str
    until: str
    place: RowPlace | None


def to_text(cursor: Cursor, asked: Mapping[str, str]) -> str:
    """The cursor as an opaque string, which goes with this question only."""
    place = cursor.place and [_written(cursor.place.keys), cursor.place.referral_id]
    said = orjson.dumps([_digest(asked), cursor.at.isoformat(), cursor.since, cursor.until, place])
    return base64.urlsafe_b64encode(said).decode().rstrip("=")


def from_text(text: str, asked: Mapping[str, str], sort: Sort) -> Cursor:
    """The cursor that `to_text` made for this question in this order. Raises `Malformed` for anything else."""
    try:
        digest, at, since, until, place = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if digest == _digest(asked) and _is_snapshot(since or until) and _is_snapshot(until):
            return Cursor(_moment(at), str(since), until, _place(place, sort) if place else None)
    except (ValueError, TypeError, KeyError, IndexError, binascii.Error) as error:
        raise _unknown_cursor() from error
    raise _unknown_cursor()


def keys_of(referral: Referral, sort: Sort, urgency: int) -> tuple[int | datetime, ...]:
    """What an order goes by."""
    assert referral.due_at is not None
    match sort:
        case Sort.URGENCY:
            return (urgency, referral.due_at)
        case Sort.DUE:
            return (referral.due_at,)
        case Sort.SENT:
            return (referral.sent_at or referral.created_at,)
        case Sort.CHANGED:
            return (referral.changed_at,)


def _written(keys: tuple[int | datetime, ...]) -> list[int | str]:
    return [key if isinstance(key, int) else key.isoformat() for key in keys]


def _place(said: Sequence[Any], sort: Sort) -> RowPlace:
    keys, referral_id = said
    if not _ID.fullmatch(referral_id):
        raise ValueError
    if sort is not Sort.URGENCY:
        (moment,) = keys
        return RowPlace((_moment(moment),), referral_id)
    urgency, moment = keys
    if urgency not in range(4):
        raise ValueError
    return RowPlace((int(urgency), _moment(moment)), referral_id)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _is_snapshot(text: str) -> bool:
    """Whether it is a pg_snapshot: xmin:xmax:xip,xip (PostgreSQL, functions-info.html)."""
    if len(text) > _LONGEST_SNAPSHOT or not _SNAPSHOT.fullmatch(text):
        return False
    xmin, xmax, among = text.split(":")
    first, end, others = int(xmin), int(xmax), [int(each) for each in among.split(",") if each]
    return 0 < first <= end and others == sorted({each for each in others if first <= each < end})


def _digest(asked: Mapping[str, str]) -> str:
    return hashlib.sha256(orjson.dumps(sorted(asked.items()))).hexdigest()[:16]


def _unknown_cursor() -> Malformed:
    return Malformed("This cursor is of another list or another question: begin again without it.", code="value")


# A row of a worklist: what somebody has to know of a referral to choose it.


@dataclass(frozen=True, slots=True)
class DirectoryNames:
    """What the directory calls teams (by id), organisations (by ODS code) and users."""

    teams: Mapping[str, str]
    organisations: Mapping[str, str]
    users: Mapping[str, str]


def row(referral: Referral, names: DirectoryNames, whose: Whose, at: datetime) -> dict[str, Any]:
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


def _party(party: Party | None, names: DirectoryNames) -> Json | None:
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
