"""The Patients of a submission, each with its person."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from onestory.intake.domain.identifiable import refuse_patient_without_name
from onestory.intake.domain.identified import identifiers_with_paths, person_by_nhs_number
from onestory.intake.domain.item import Item
from onestory.intake.domain.local_ids import LocalIds
from onestory.intake.domain.request import KnownResource, SubmissionContext
from onestory.shared.errors import Unprocessable
from onestory.shared.identity import PersonIdentifier, provisional_identity


class SubmittedPatients:
    """The persons of a submission's Patients. Each is computed once.

    `invalid` are the indexes of items that are not valid FHIR. `matched` are the persons of Patients that a condition
    found, by the index of the entry.
    """

    def __init__(
        self,
        context: SubmissionContext,
        known: Mapping[str, KnownResource],
        local_ids: LocalIds,
        invalid: Collection[int],
        matched: Mapping[int, PersonIdentifier],
    ) -> None:
        self._context = context
        self._known = known
        self._local_ids = local_ids
        self._invalid = invalid
        self._matched = matched
        self._persons: dict[int, PersonIdentifier] = {}

    def person_of(self, item: Item) -> PersonIdentifier:
        """Return the person of a Patient. Raises `Unprocessable`."""
        if item.index in self._invalid:
            raise Unprocessable(
                "This entry refers to a Patient that is refused. Correct the Patient, and send both again.",
                code="business-rule",
                expression=item.path,
            )
        if item.index not in self._persons:
            self._persons[item.index] = self.identify(item)
        return self._persons[item.index]

    def identify(self, item: Item) -> PersonIdentifier:
        """Return the person of a Patient: by NHS number, else by shared id, else a provisional identity of this source.

        The Patient's local id never counts as an NHS number: one in eleven ten-digit ids has a correct check digit.
        """
        raw = item.members.get("identifier")
        identifiers = msgspec.json.decode(raw) if raw is not None else []
        number = person_by_nhs_number(identifiers_with_paths(identifiers, item.path))
        if number:
            return number
        if item.index in self._matched:
            return self._matched[item.index]
        known = self._known.get(item.resource_id)
        if known:
            return known.person
        refuse_patient_without_name(item)
        source = self._context.source
        return provisional_identity(source.organisation, source.system, self._local_ids.of_patient(item))
