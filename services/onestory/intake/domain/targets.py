"""What a publisher's reference becomes in the record (http://hl7.org/fhir/R4/references.html)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from onestory.intake.domain.address import identifier_in
from onestory.intake.domain.index import Index, relative
from onestory.intake.domain.item import Item
from onestory.intake.domain.people import People
from onestory.intake.domain.submission import Reception
from onestory.shared.errors import PreconditionFailed, Unprocessable
from onestory.shared.fhir.definitions import directory_types, resource_types
from onestory.shared.identity import is_directory_id, is_nhs_number, is_nhs_number_system, parse_shared_id

_WHAT_TO_SEND = (
    "Send Type/id, an absolute URL, Type?identifier=system|value, the fullUrl of an entry in the submission, or "
    "#id of a contained resource."
)


@dataclass(frozen=True, slots=True)
class Logical:
    """A reference by identifier (http://hl7.org/fhir/R4/references.html#logical)."""

    resource_type: str
    system: str
    value: str


Target = str | Logical


class Targets:
    """Where the references of one statement lead. `person_key` is None in the directory.

    `shared_ids` has those of the statement's own items, by index; `patient_id` gives a Patient's id in the record.
    """

    def __init__(
        self,
        index: Index,
        people: People,
        reception: Reception,
        person_key: str | None,
        shared_ids: Mapping[int, str],
        patient_id: Callable[[Item], str],
    ) -> None:
        self._index = index
        self._people = people
        self._reception = reception
        self._person_key = person_key
        self._shared_ids = shared_ids
        self._patient_id = patient_id

    def of(self, reference: str) -> Target:
        """What stands in its place. Raises `Unprocessable` for one that leads nowhere."""
        item = self._index.find(reference)
        if item is not None:
            return self._item(item)
        plain = self._index.plain(reference)
        if plain.startswith(("http://", "https://")):
            return reference if plain == reference or "/_history/" in reference else plain
        if "?" in plain:
            return self._conditional(plain)
        target = relative(plain)
        if target:
            return self._relative(*target)
        if plain.startswith("urn:"):
            says = f"No entry of the submission has this fullUrl: include what it means. {_WHAT_TO_SEND}"
            raise Unprocessable(says, code="not-found")
        raise Unprocessable(f"This is no reference. {_WHAT_TO_SEND}", code="value")

    def _item(self, item: Item) -> Target:
        if item.resource_type == "Patient":
            return f"Patient/{self._patient_id(item)}"
        if item.index not in self._shared_ids:
            raise Unprocessable("This leads to an entry that is not about the same person.", code="business-rule")
        return f"{item.resource_type}/{self._shared_ids[item.index]}"

    def _relative(self, kind: str, target_id: str) -> Target:
        if kind not in resource_types():
            raise Unprocessable(f"This names no FHIR R4 resource type. {_WHAT_TO_SEND}", code="value")
        if kind == "Patient":
            return self._patient(target_id)
        if parse_shared_id(target_id) or is_directory_id(target_id):
            return f"{kind}/{target_id}"
        source, keys = self._reception.source, self._reception.door.keys
        # What is about no person was said to the directory, by itself.
        if self._person_key is None or kind in directory_types():
            return f"{kind}/{keys.resource_hash(source.organisation, source.system, kind, target_id)}"
        return f"{kind}/{keys.shared_id(self._person_key, source.organisation, source.system, kind, target_id)}"

    def _patient(self, target_id: str) -> Target:
        if is_nhs_number(target_id) or self._people.at_reference(f"Patient/{target_id}"):
            return f"Patient/{target_id}"
        raise Unprocessable(
            "This leads to nobody we know: include the Patient in the submission, or send Patient/<NHS number>.",
            code="not-found",
        )

    def _conditional(self, reference: str) -> Target:
        kind, _, search = reference.partition("?")
        if kind not in resource_types():
            raise Unprocessable(f"This names no FHIR R4 resource type. {_WHAT_TO_SEND}", code="value")
        try:
            system, _, value = identifier_in(search, "").partition("|")
        except PreconditionFailed as error:
            says = "Only Type?identifier=system|value can stand in a reference: it becomes a reference by identifier."
            raise Unprocessable(says, code="not-supported") from error
        if kind == "Patient" and is_nhs_number_system(system):
            return self._patient(unquote(value))
        return Logical(kind, system, value)
