"""The directory as the referral service knows it: teams that take referrals, and the roles of users in them.

Also reads identifiers and references of directory resources (http://hl7.org/fhir/R4/references.html).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from onestory.shared.fhir.dates import uk_day

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_AFTER_MIDNIGHT = timedelta(hours=4)
_SHARED = re.compile(r"([A-Za-z]+)/([a-z2-7]{26})")

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Contact:
    """The contact that a team names for escalations. A field is empty where the team gives no value."""

    name: str = ""
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Team:
    """A HealthcareService. `team_id` is its directory id, `organisation` the ODS code of its provider.

    `kind` is a code of the CodeSystem team-kind, or else of HealthcareService.type. `practices` are the ODS codes of
    the practices that it serves; empty where it names none. A team that is not `active` takes no new referral, and
    finishes those that it has.
    """

    team_id: str
    organisation: str
    name: str
    kind: str = ""
    network: str = ""
    dos_service_id: str = ""
    practices: tuple[str, ...] = ()
    escalation: Contact = Contact()
    active: bool = True


@dataclass(frozen=True, slots=True)
class Role:
    """A PractitionerRole at one team. `subject` is the SDS user id, `code` a job role, `name` the practitioner's name.

    `team_id` is empty for a role at the whole organisation. The role is in force while it is active, from `starts_at`
    until before `ends_at`. None as a start or an end is an open one. With `weekdays` (`mon` to `sun`) it is in force on
    these days in the UK, and until 4 o'clock of the next morning, so that a session can be finished.
    """

    role_id: str
    subject: str
    team_id: str
    organisation: str
    code: str = ""
    name: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    active: bool = True
    weekdays: tuple[str, ...] = ()

    def is_in_force(self, now: datetime) -> bool:
        """Return whether the user may act in this role at this moment."""
        has_begun = self.starts_at is None or self.starts_at <= now
        return self.active and has_begun and not self.has_ended(now) and self.is_weekday(now)

    def is_weekday(self, now: datetime) -> bool:
        """Return whether this is one of the role's weekdays, or the early morning after one."""
        days = {WEEKDAYS[uk_day(moment).weekday()] for moment in (now, now - _AFTER_MIDNIGHT)}
        return not self.weekdays or not days.isdisjoint(self.weekdays)

    def has_ended(self, now: datetime) -> bool:
        """Return whether the end of the role has passed."""
        return self.ends_at is not None and self.ends_at <= now


@dataclass(frozen=True, slots=True)
class DirectoryNames:
    """Names from the directory: teams by directory id, organisations by ODS code, users by SDS user id."""

    teams: Mapping[str, str]
    organisations: Mapping[str, str]
    users: Mapping[str, str]


class DirectoryStatement(NamedTuple):
    """A row of `directory_statement`; `said_by` is the ODS code of the source's organisation.

    The statement with the greatest (rank, published_at, event_id) is the current one, as in the record.
    """

    shared_id: str
    event_id: UUID
    rank: int
    published_at: datetime
    resource_type: str
    said_by: str
    operation: str
    content: bytes | None
    digest: bytes


class CurrentDirectoryStatement(NamedTuple):
    """The last assertion of a directory resource. `is_asserted` is False once a retraction has followed.

    `organisation` is the ODS code of the source's organisation; `content` is FHIR JSON.
    """

    shared_id: str
    resource_type: str
    organisation: str
    content: bytes
    is_asserted: bool


def is_active(statement: CurrentDirectoryStatement, resource: Json) -> bool:
    """Return whether the resource is not retracted, and does not state `active` as false."""
    return statement.is_asserted and bool(resource.get("active", True))


def identifier_value(identifiers: list[Json], is_system: Callable[[object], bool]) -> str:
    """Return the value of the first Identifier of a system that is not an old one; empty without one."""
    matching = [
        identifier
        for identifier in identifiers
        if is_system(identifier.get("system")) and identifier.get("use") != "old"
    ]
    return next((identifier["value"] for identifier in matching if identifier.get("value")), "")


def identifier_in_reference(reference: Json, is_system: Callable[[object], bool]) -> str:
    """Return the value of Reference.identifier, if it is of this system; empty otherwise."""
    identifier = reference.get("identifier")
    return identifier_value([identifier], is_system) if identifier else ""


def id_in_reference(reference: Json, kind: str) -> str:
    """Return the directory id in Reference.reference, if it leads to this resource type; empty otherwise."""
    match = _SHARED.fullmatch(reference.get("reference", ""))
    return match[2] if match and match[1] == kind else ""
