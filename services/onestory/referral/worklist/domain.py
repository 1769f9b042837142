"""Defines a worklist: its scope, filters and order, the cursor of its pages, and a row as JSON."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from onestory.referral.appointments.model import appointment_to_json, shown_appointment, upcoming_of_task
from onestory.referral.directory.model import DirectoryNames
from onestory.referral.lifecycle.model import Json, Referral, Status
from onestory.shared.events import Party
from onestory.shared.fhir.bundle import etag
from onestory.shared.fhir.dates import format_instant
from onestory.shared.fhir.json import concept_text
from onestory.shared.http.cursor import decode_cursor, encode_cursor, parse_cursor_time

_SNAPSHOT = re.compile(r"[0-9]{1,18}:[0-9]{1,18}:(?:[0-9]{1,18}(?:,[0-9]{1,18})*)?")
_LONGEST_SNAPSHOT = 4_000
_ID = re.compile(r"[a-z0-9-]{1,64}")
_UNKNOWN_CURSOR = "cursor: it belongs to another list or to other parameters. Start again without it."
RECIPIENT_STATUSES = (Status.REQUESTED, Status.RECEIVED, Status.ACCEPTED, Status.IN_PROGRESS, Status.ON_HOLD)
"""The statuses in which the recipient has a referral: after it is sent, until it is rejected or has failed."""
OPEN_STATUSES = (*RECIPIENT_STATUSES, Status.DRAFT, Status.REJECTED, Status.FAILED)
"""The statuses in which a referral can be open."""


class Sort(StrEnum):
    """The orders of a list. The referral's id is the last sort value of each, so that every order is total."""

    URGENCY = "urgency"
    """By priority, then by due time: overdue referrals come first in each priority."""
    DUE = "due"
    SENT = "sent"
    """The longest waiting first."""
    CHANGED = "changed"
    """The last changed first."""


@dataclass(frozen=True, slots=True)
class WorklistScope:
    """The referrals that a list covers: those of `teams`, or those that the organisation `requester` has sent
    or may act for, as the person's new practice.

    A team's list has the referrals that it received and has not given back, those that it holds otherwise (passed on,
    not accepted yet), and those that it passed on and has a question about. `received_only` leaves out the latter two.
    The list of a user also has what the user, `claimer`, has claimed for the teams `claimed_for`. With
    `all_teams_of_user` the teams are all teams of one user, so they change with the user's roles.
    """

    teams: tuple[str, ...] = ()
    requester: str = ""
    claimer: str = ""
    claimed_for: tuple[str, ...] = ()
    received_only: bool = False
    all_teams_of_user: bool = False

    @property
    def recipient_teams(self) -> frozenset[str]:
        """The teams whose side the reader is on."""
        return frozenset((*self.teams, *self.claimed_for))

    def is_next_actor(self, referral: Referral) -> bool:
        """Return whether the next actor is a team of the list, or the list's organisation."""
        party = referral.next_actor
        if party is None:
            return False
        return party.organisation == self.requester if self.requester else party.team in self.recipient_teams

    def leaving_reason(self, referral: Referral) -> str:
        """Return why the referral is no longer on the list: the status with which it left, or `elsewhere`."""
        is_in_scope = self.requester or referral.recipient.team in self.recipient_teams
        return str(referral.status) if is_in_scope else "elsewhere"


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a list; an empty one lets every referral pass. `claimed` is `me`, `nobody` or `anybody`.

    `own_turn`: only referrals whose next actor is in the scope of the list.
    """

    status: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    breached: bool | None = None
    claimed: str = ""
    requester: str = ""
    own_turn: bool = False


@dataclass(frozen=True, slots=True)
class SortKey:
    """The sort key of a row: the values of the order, and the referral's id."""

    values: tuple[int | datetime, ...]
    referral_id: str


@dataclass(frozen=True, slots=True)
class WorklistCursor:
    """Where the next page begins: after the row `sort_key`. `at` is the time of the first page.

    Rows come in rounds. The first round is the list in the database's snapshot `until`. Each later round has the rows
    that changed after `since`, the snapshot of the round before. So a reader gets every version of a row that they have
    not seen exactly once, and misses no row that has moved meanwhile.
    """

    at: datetime
    since: str
    until: str
    sort_key: SortKey | None

    def encode(self, parameters: Mapping[str, str]) -> str:
        """The opaque text for a URL. It is valid with these query parameters only."""
        key = self.sort_key and [_key_to_json(self.sort_key.values), self.sort_key.referral_id]
        return encode_cursor(orjson.dumps([_digest(parameters), self.at.isoformat(), self.since, self.until, key]))


def parse_worklist_cursor(text: str, parameters: Mapping[str, str], sort: Sort) -> WorklistCursor:
    """The cursor that `encode` made for these parameters and this order. Raises `Malformed` for other text."""

    def read_fields(content: bytes) -> WorklistCursor:
        digest, at, since, until, key = orjson.loads(content)
        if digest != _digest(parameters) or not _is_snapshot(since or until) or not _is_snapshot(until):
            raise ValueError("not a cursor of this list")
        return WorklistCursor(parse_cursor_time(at), str(since), until, _key_from_json(key, sort) if key else None)

    return decode_cursor(text, read_fields, _UNKNOWN_CURSOR)


def sort_key(referral: Referral, sort: Sort, urgency: int) -> SortKey:
    """The sort key of a referral's row in this order. `urgency` is the column of that name."""
    assert referral.due_at is not None
    values: tuple[int | datetime, ...]
    match sort:
        case Sort.URGENCY:
            values = (urgency, referral.due_at)
        case Sort.DUE:
            values = (referral.due_at,)
        case Sort.SENT:
            values = (referral.sent_at or referral.created_at,)
        case Sort.CHANGED:
            values = (referral.changed_at,)
    return SortKey(values, referral.referral_id)


def _key_to_json(values: tuple[int | datetime, ...]) -> list[int | str]:
    return [value if isinstance(value, int) else value.isoformat() for value in values]


def _key_from_json(data: Sequence[Any], sort: Sort) -> SortKey:
    values, referral_id = data
    if not _ID.fullmatch(referral_id):
        raise ValueError
    if sort is not Sort.URGENCY:
        (instant,) = values
        return SortKey((parse_cursor_time(instant),), referral_id)
    urgency, instant = values
    if urgency not in range(4):
        raise ValueError
    return SortKey((int(urgency), parse_cursor_time(instant)), referral_id)


def _is_snapshot(text: str) -> bool:
    """Return whether the text is a pg_snapshot: xmin:xmax:xip,xip (PostgreSQL, functions-info.html)."""
    if len(text) > _LONGEST_SNAPSHOT or not _SNAPSHOT.fullmatch(text):
        return False
    xmin, xmax, in_progress = text.split(":")
    first, end, xids = int(xmin), int(xmax), [int(xid) for xid in in_progress.split(",") if xid]
    return 0 < first <= end and xids == sorted({xid for xid in xids if first <= xid < end})


def _digest(parameters: Mapping[str, str]) -> str:
    return hashlib.sha256(orjson.dumps(sorted(parameters.items()))).hexdigest()[:16]


def row_to_json(referral: Referral, names: DirectoryNames, scope: WorklistScope, at: datetime) -> dict[str, Any]:
    """The row of a referral, as JSON: what a reader needs to choose it.

    It has the person's NHS number and no name, because the referral service does not know the person's name. Only the
    recipient's side sees who has claimed the referral.
    """
    request = referral.service_request
    shows_claimer = referral.status in RECIPIENT_STATUSES and referral.recipient.team in scope.recipient_teams
    claimer = referral.claimed_by if shows_claimer else ""
    return {
        "referral": referral.referral_id,
        "task": referral.task_id,
        "version": etag(referral.changed_by),
        "person": {"system": referral.person.system, "value": referral.person.value},
        "kind": str(referral.kind),
        "priority": referral.priority,
        "status": str(referral.status),
        "businessStatus": referral.business_status,
        "code": concept_text(request.get("code")),
        "reason": "; ".join(filter(None, map(concept_text, request.get("reasonCode") or ()))),
        "statusReason": concept_text(referral.reason.concept) if referral.reason else "",
        "requester": _party_to_json(referral.requester, names),
        "recipient": _party_to_json(referral.recipient, names),
        "holder": _party_to_json(referral.holder, names),
        "nextActor": _party_to_json(referral.next_actor, names),
        "yourTurn": scope.is_next_actor(referral),
        "claimedBy": {"user": claimer, "name": names.users.get(claimer, "")} if claimer else None,
        "dueAt": _format_instant(referral.due_at),
        "breached": referral.due_at is not None and referral.due_at <= at,
        "escalatedAt": _format_instant(referral.escalated_at),
        "nextAppointment": _next_appointment(referral, at),
        "sentAt": _format_instant(referral.sent_at),
        "changedAt": _format_instant(referral.changed_at),
    }


def _next_appointment(referral: Referral, at: datetime) -> Json | None:
    """The next appointment of the Task in force, and how many there are to come; None: there is none."""
    to_come = upcoming_of_task(referral.appointments, referral.task_number, at)
    if not to_come:
        return None
    return {**shown_appointment(appointment_to_json(to_come[0])), "ofUpcoming": len(to_come)}


def names_needed(referrals: Sequence[Referral]) -> tuple[set[str], set[str], set[str]]:
    """The ids of the teams, organisations and users whose names the rows need."""
    parties = {
        party
        for referral in referrals
        for party in (referral.requester, referral.recipient, referral.holder, referral.next_actor)
        if party
    }
    users = {referral.claimed_by for referral in referrals if referral.claimed_by}
    return {party.team for party in parties if party.team}, {party.organisation for party in parties}, users


def _party_to_json(party: Party | None, names: DirectoryNames) -> Json | None:
    if party is None:
        return None
    return {
        "organisation": party.organisation,
        "organisationName": names.organisations.get(party.organisation, ""),
        "team": party.team,
        "teamName": names.teams.get(party.team, ""),
    }


def _format_instant(moment: datetime | None) -> str | None:
    return format_instant(moment) if moment else None
