"""A BaRS message taken apart: its header, what it is about, and everything that comes along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onestory.referral.bars.definitions import Definition

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Carried:
    """One entry of a message: its place, what it calls itself, and the resource."""

    index: int
    full_url: str
    resource_type: str
    resource: Json

    @property
    def path(self) -> str:
        """The FHIRPath of the resource."""
        return f"Bundle.entry[{self.index}].resource"

    @property
    def uuid(self) -> str:
        """The UUID of a fullUrl `urn:uuid:...`, else empty: FHIR has it name the resource in every message."""
        return self.full_url.removeprefix("urn:uuid:") if self.full_url.startswith("urn:uuid:") else ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is valid FHIR and fits its definition's counts.

    `message_id` is the Bundle's id, by which a response names it; `version` that of the standard. `focus` is what the
    message is about. `answers` is the id of the message that it responds to, empty in a request. `by_url` has what it
    carries by fullUrl.
    """

    message_id: str
    version: str
    event: str
    reason: str
    definition: Definition
    header: Carried
    focus: Carried
    carried: Sequence[Carried]
    answers: str
    by_url: Mapping[str, Carried]

    def of_type(self, resource_type: str) -> Iterator[Carried]:
        """What it carries of this type."""
        return (each for each in self.carried if each.resource_type == resource_type)

    def first(self, resource_type: str) -> Carried | None:
        """The first of this type."""
        return next(self.of_type(resource_type), None)

    def at(self, reference: object) -> Carried | None:
        """What a Reference within the message leads to."""
        target = reference.get("reference") if isinstance(reference, Mapping) else None
        return self.by_url.get(target) if isinstance(target, str) else None

    @property
    def patient(self) -> Carried:
        """The person it is about."""
        found = self.first("Patient")
        assert found is not None
        return found

    @property
    def request(self) -> Carried | None:
        """The ServiceRequest, which every message of a referral carries."""
        return self.focus if self.focus.resource_type == "ServiceRequest" else self.first("ServiceRequest")


def codes(concept: object, system: str) -> list[str]:
    """The codes that CodeableConcepts (or one) hold of a code system below https://fhir.nhs.uk/CodeSystem/."""
    concepts = concept if isinstance(concept, list) else [concept]
    codings = (coding for each in concepts if isinstance(each, Mapping) for coding in each.get("coding", ()))
    return [coding["code"] for coding in codings if coding.get("code") and is_system(coding.get("system"), system)]


def is_system(said: object, name: str) -> bool:
    """Whether this is the code system of BaRS with that name, in any spelling that the NHS itself has published."""
    if not isinstance(said, str):
        return False
    scheme, _, rest = said.lower().partition("://")
    return scheme in ("http", "https") and rest == f"fhir.nhs.uk/codesystem/{name}"
