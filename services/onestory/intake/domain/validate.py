"""What each item is on its own: fit, of this source, about whom, called what, recorded when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from onestory.intake.domain.bundle import Meta, read_meta, refuse_other_source
from onestory.intake.domain.ids import Index, local_id
from onestory.intake.domain.item import Item, refuse_unfit
from onestory.intake.domain.judgement import (
    is_judgement,
    refuse_list_unless_clinician,
    refuse_unfounded,
    refuse_unless_clinician,
)
from onestory.intake.domain.owner import Owner, PersonResolver
from onestory.intake.domain.parse import Opened
from onestory.intake.domain.request import KnownResource, Reception
from onestory.shared.errors import OneStoryError, Unprocessable
from onestory.shared.fhir.dates import parse_instant

# When a source recorded what it says; never a clinical date.

# Clocks of publishers run ahead by as much without harm; more, and what they say next could not correct it.
TOLERANCE = timedelta(minutes=5)


def recorded_at(instant: str | None, path: str, received_at: datetime) -> datetime | None:
    """The moment, or None where none is given. Raises `Unprocessable` for one in the future or in no calendar."""
    if instant is None:
        return None
    try:
        moment = parse_instant(instant)
    except ValueError as error:
        says = "This is no moment of the calendar: send date, time and time zone."
        raise Unprocessable(says, code="value", expression=path) from error
    if moment > received_at + TOLERANCE:
        says = "This lies in the future by more than five minutes: send when it was recorded, and check the clock."
        raise Unprocessable(says, code="value", expression=path)
    return moment


@dataclass(frozen=True, slots=True)
class Examined:
    """An item that may be stated. `owner` is None for what names nobody."""

    item: Item
    meta: Meta
    local_id: str
    owner: Owner | None
    recorded_at: datetime


class Examination:
    """All items of one submission: those that may be stated by their place, and the errors of the others."""

    def __init__(self, opened: Opened, reception: Reception, known: Mapping[str, KnownResource]) -> None:
        self.reception = reception
        self.index = Index(opened.items, reception.door.base_url)
        self.people = PersonResolver(self.index, reception, known, opened.errors)
        self._known = known
        refuse_other_source(opened.meta, reception.source.organisation, "Bundle.meta")
        refuse_list_unless_clinician(reception.complete_types, reception.role)
        self.said_at = self._bundle_time(opened)
        self.fit: dict[int, Examined] = {}
        self.errors: dict[int, OneStoryError] = dict(opened.errors)
        names: set[tuple[str, str]] = set()
        for item in opened.items:
            if item.index not in self.errors:
                self._add(item, names)

    def owner_of_refused(self, item: Item) -> Owner | None:
        """Whose a refused item is, if that can be told: it takes that person's other entries with it."""
        try:
            if item.resource_type == "Patient":
                return Owner(self.people.identify(item), item.path)
            return self.people.owner(item)
        except (OneStoryError, AttributeError, TypeError, ValueError, LookupError, msgspec.MsgspecError):
            # An item that is not even valid FHIR may hold anything where its owner should be.
            return None

    def _add(self, item: Item, names: set[tuple[str, str]]) -> None:
        try:
            examined = self._examine(item)
            name = (item.resource_type, examined.local_id)
            if name in names:
                says = "Another entry of the submission is the same resource: send one of them."
                raise Unprocessable(says, code="duplicate", expression=item.path)
        except OneStoryError as error:
            self.errors[item.index] = error
        else:
            names.add(name)
            self.fit[item.index] = examined

    def _examine(self, item: Item) -> Examined:
        refuse_unfit(item)
        refuse_unless_clinician(item, self.reception.role)
        meta = read_meta(item.members.get("meta"))
        refuse_other_source(meta, self.reception.source.organisation, f"{item.path}.meta")
        moment = recorded_at(meta.last_updated, f"{item.path}.meta.lastUpdated", self.reception.received_at)
        name = local_id(item, self.reception, self._known)
        return Examined(item, meta, name, self._owner(item), moment or self.said_at)

    def _owner(self, item: Item) -> Owner | None:
        owner = self.people.owner(item)
        if is_judgement(item):
            person_key = self.reception.door.keys.person_key(owner.person) if owner else ""
            refuse_unfounded(item, person_key, self.index, self._known)
        return owner

    def _bundle_time(self, opened: Opened) -> datetime:
        received_at = self.reception.received_at
        return (
            recorded_at(opened.timestamp, "Bundle.timestamp", received_at)
            or recorded_at(opened.meta.last_updated, "Bundle.meta.lastUpdated", received_at)
            or received_at
        )
