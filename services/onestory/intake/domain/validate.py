"""Validates each item of a submission: its content, source, person, local id and time of recording.

`prepare.py` comes before this, and `events.py` after it. Whose an item is, `owner.py` decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from onestory.intake.domain.bundle import Meta, read_meta, refuse_other_source
from onestory.intake.domain.conditions import (
    NO_CONDITIONS,
    DecidedConditions,
    MatchedResource,
    other_person,
    persons_of_patients,
)
from onestory.intake.domain.earlier import EarlierStatements
from onestory.intake.domain.item import (
    Item,
    ItemIndex,
    refuse_invalid_item,
)
from onestory.intake.domain.judgement import (
    is_judgement,
    refuse_invalid_judgement,
    refuse_list_unless_clinician,
    refuse_unless_clinician,
)
from onestory.intake.domain.local_ids import LocalIds
from onestory.intake.domain.owner import Owner, PersonResolver
from onestory.intake.domain.parse import ParsedSubmission
from onestory.intake.domain.request import KnownResource, SubmissionContext
from onestory.shared.errors import OneStoryError, Unprocessable
from onestory.shared.fhir.dates import parse_instant
from onestory.shared.identity import PersonIdentifier

# A publisher's clock may run ahead by this much. A later time of recording would outrank the source's next statement.
CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class ValidItem:
    """An item that can become an entry. `owner` is None when the item names no person.

    `existing` is the resource that makes a conditional create change nothing; such an item becomes no entry.
    """

    item: Item
    meta: Meta
    local_id: str
    owner: Owner | None
    recorded_at: datetime
    existing: MatchedResource | None = None


class SubmissionValidation:
    """The result of validating all items of one submission.

    `valid` has the valid items, and `errors` the errors of the others, both by index. `recorded_at` is the time of the
    Bundle, for items without a time of their own. `index` and `people` serve the steps that follow.

    Raises `Forbidden` or `Unprocessable` for faults of the whole submission.
    """

    def __init__(
        self,
        parsed: ParsedSubmission,
        context: SubmissionContext,
        known: Mapping[str, KnownResource],
        earlier: EarlierStatements | None = None,
        conditions: DecidedConditions = NO_CONDITIONS,
    ) -> None:
        self.context = context
        self.earlier = earlier or EarlierStatements()
        self.index = ItemIndex(parsed.items, context.deployment.base_url)
        matches = conditions.matches
        persons = persons_of_patients(matches)
        self.errors: dict[int, OneStoryError] = {**conditions.errors, **parsed.errors}
        self._readable = [item for item in parsed.items if item.index not in self.errors]
        self._local_ids = LocalIds(self._readable, context, known, self._person_of_bundle)
        self.people = PersonResolver(self.index, context, known, self.earlier, self._local_ids, parsed.errors, persons)
        self._is_batch = parsed.is_batch
        self._known = known
        self._matches = matches
        _refuse_incomplete_statement(parsed, context)
        refuse_other_source(parsed.meta, context.source.organisation, "Bundle.meta")
        refuse_list_unless_clinician(context.complete_types, context.role)
        self.recorded_at = self._time_of_bundle(parsed)
        self.valid: dict[int, ValidItem] = {}
        names: set[tuple[str, str]] = set()
        for item in self._readable:
            self._add(item, names)

    def owner_of_refused(self, item: Item) -> Owner | None:
        """Return the owner of an item that may be refused, or None.

        In a batch, the other entries about that person are refused with it.
        """
        try:
            if item.resource_type == "Patient":
                return Owner(self.people.identify_patient(item), item.path)
            return self.people.owner_of(item)
        except (OneStoryError, AttributeError, TypeError, ValueError, LookupError, msgspec.MsgspecError):
            # An item that is not valid FHIR may hold any JSON where its owner should be.
            return None

    def is_matched(self, index: int) -> bool:
        """Return whether the condition of an item has found a resource."""
        return index in self._matches

    def _add(self, item: Item, names: set[tuple[str, str]]) -> None:
        try:
            valid_item = self._validate(item)
            name = (item.resource_type, valid_item.local_id)
            if name in names:
                text = (
                    "Another entry of the submission has this type and id, so both are the same resource. Send only "
                    "one of them. Send the entries of each server apart, with an X-Source-System for each."
                )
                raise Unprocessable(text, code="duplicate", expression=item.path)
        except OneStoryError as error:
            self.errors[item.index] = error
        else:
            names.add(name)
            self.valid[item.index] = valid_item

    def _validate(self, item: Item) -> ValidItem:
        refuse_invalid_item(item)
        refuse_unless_clinician(item, self.context.role)
        meta = read_meta(item.members.get("meta"))
        refuse_other_source(meta, self.context.source.organisation, f"{item.path}.meta")
        moment = parse_recorded_at(meta.last_updated, f"{item.path}.meta.lastUpdated", self.context.received_at)
        match = self._matches.get(item.index)
        local_id = match.local_id if match else self._local_ids.of(item)
        owner = self._owner(item)
        if match is None or not item.is_conditional_create:
            return ValidItem(item, meta, local_id, owner, moment or self.recorded_at)
        if error := other_person(match, owner.person if owner else None, item.identifier_path):
            raise error
        return ValidItem(item, meta, local_id, owner, moment or self.recorded_at, existing=match)

    def _person_of_bundle(self) -> PersonIdentifier | None:
        if self._is_batch:
            return None
        owners = (self.owner_of_refused(item) for item in self._readable)
        return next((owner.person for owner in owners if owner), None)

    def _owner(self, item: Item) -> Owner | None:
        owner = self.people.owner_of(item)
        if is_judgement(item):
            person_key = self.context.deployment.keys.person_key(owner.person) if owner else ""
            refuse_invalid_judgement(item, person_key, self.index, self._known)
        return owner

    def _time_of_bundle(self, parsed: ParsedSubmission) -> datetime:
        received_at = self.context.received_at
        return (
            parse_recorded_at(parsed.timestamp, "Bundle.timestamp", received_at)
            or parse_recorded_at(parsed.meta.last_updated, "Bundle.meta.lastUpdated", received_at)
            or received_at
        )


def _refuse_incomplete_statement(parsed: ParsedSubmission, context: SubmissionContext) -> None:
    """Refuse conditional creates where an entry that changes nothing would be missed.

    A whole list would retire a resource that it leaves out, and readers would see a gap in a sequence.
    """
    item = next((item for item in parsed.items if item.is_conditional_create), None)
    if item and (context.complete_types or context.sequence is not None):
        text = "A whole list, or a statement with X-Sequence, must not have a conditional create. Send PUT with an id."
        raise Unprocessable(text, code="business-rule", expression=item.identifier_path)


def parse_recorded_at(instant: str | None, path: str, received_at: datetime) -> datetime | None:
    """Return when the source recorded its statement, or None when it gives no time. It is never a clinical date.

    Raises `Unprocessable` for a time that is no instant, and for one in the future.
    """
    if instant is None:
        return None
    try:
        moment = parse_instant(instant)
    except ValueError as error:
        text = "This is not a valid instant. Send date, time and time zone."
        raise Unprocessable(text, code="value", expression=path) from error
    if moment > received_at + CLOCK_TOLERANCE:
        text = "This time is more than five minutes in the future. Send the time of recording, and check your clock."
        raise Unprocessable(text, code="value", expression=path)
    return moment
