"""The directory as this room knows it: teams that take referrals, and who works in them, from when to when."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom a team names for what nobody acts on. Empty where nothing is said."""

    name: str = ""
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Team:
    """A HealthcareService. `team_id` is its directory id, `organisation` the ODS code of who provides it.

    `kind` is a code of the CodeSystem team-kind, else of its type. `practices` are the ODS codes of those that it
    serves; none means that it does not say. One that is not `active` takes no new referral, and finishes what it has.
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
    """A PractitionerRole at one team. `subject` is the SDS user id; `code` a job role; `name` the practitioner's.

    `team_id` is empty for a role at the organisation as a whole. It is in force while it is active, from `starts_at` to
    before `ends_at`; None: from ever, for ever.
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

    def in_force(self, now: datetime) -> bool:
        """Whether somebody may act in this role at this moment."""
        return self.active and not self.is_over(now) and (self.starts_at is None or self.starts_at <= now)

    def is_over(self, now: datetime) -> bool:
        """Whether its end has passed."""
        return self.ends_at is not None and self.ends_at <= now


# A resource of the directory as it was said, and how its identifiers and references are read.

_SHARED = re.compile(r"([A-Za-z]+)/([a-z2-7]{26})")

Json = Mapping[str, Any]


class DirectoryResource(NamedTuple):
    """The assertion that stands of a directory resource. `stands` is False once it has been retracted."""

    shared_id: str
    resource_type: str
    said_by: str
    content: bytes
    stands: bool


def is_active(said: DirectoryResource, resource: Json) -> bool:
    """Whether it still stands, and says that it is active."""
    return said.stands and bool(resource.get("active", True))


def value_of(identifiers: list[Json], is_system: Callable[[object], bool]) -> str:
    """The value of the first Identifier of a system, else empty."""
    found = [each for each in identifiers if is_system(each.get("system")) and each.get("use") != "old"]
    return next((each["value"] for each in found if each.get("value")), "")


def logical(reference: Json, is_system: Callable[[object], bool]) -> str:
    """What a Reference names by an identifier of a system, else empty."""
    identifier = reference.get("identifier")
    return value_of([identifier], is_system) if identifier else ""


def referenced(reference: Json, kind: str) -> str:
    """The directory id of a resource of this type to which a Reference leads, else empty."""
    match = _SHARED.fullmatch(reference.get("reference", ""))
    return match[2] if match and match[1] == kind else ""
