"""Writes one source's resources and Bundles about one person: its ids, its form of references, its instants.

The Patient is here too. Each source has its own id for the person, and often fewer or older details.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from onestory.sample.chance import fhir_instant, fingerprint, stable_uuid
from onestory.sample.network import SourceSystem
from onestory.sample.people import Person
from onestory.sample.resources import (
    NHS_NUMBER,
    UK_CORE,
    Json,
    SampleSubmission,
    TroubleCase,
    collection_bundle,
    concept_from,
    identifier,
    logical_reference,
    make_submission,
    organisation,
    period,
    post_entry,
    put_entry,
    resource_entry,
    security_labels,
    transaction_bundle,
    without_empty,
)

SubjectForm = Literal["entry", "number", "logical", "conditional"]


@dataclass(frozen=True, slots=True)
class WritingStyle:
    """How a system writes FHIR."""

    subject: SubjectForm
    """How it refers to the person."""
    base_url: str = ""
    """The base of full URLs; empty for urn:uuid."""
    ids: bool = True
    """Whether its resources have an id, or only a business identifier."""


STYLES: dict[str, WritingStyle] = {
    "emis-web": WritingStyle("entry"),
    "systmone": WritingStyle("number", "https://systmone.example.org/fhir"),
    "rio": WritingStyle("logical", "https://rio.example.org/fhir"),
    "mosaic": WritingStyle("entry", ids=False),
    "carenotes": WritingStyle("number"),
    "millennium": WritingStyle("number"),
    "pds": WritingStyle("number"),
}


@dataclass(frozen=True, slots=True)
class SourceWriter:
    """One source that writes about one person."""

    source: SourceSystem
    person: Person
    nhs_number: str
    """The number under which this source files. It can be superseded, or another person's."""
    subject_form: SubjectForm | None = None
    """Overrides the system's own form, for a Bundle that needs it."""

    @property
    def style(self) -> WritingStyle:
        return STYLES[self.source.system]

    def resource(
        self, kind: str, key: str, recorded: datetime, fields: Json, *, confidentiality: Sequence[str] = ()
    ) -> Json:
        """A resource of this source. The same `kind` and `key` give the same local id, whatever the fields are."""
        meta = without_empty({"lastUpdated": self.instant(recorded), "security": security_labels(*confidentiality)})
        local_id = {"id": self.local_id(kind, key)} if self.style.ids else {}
        business_id = {} if self.style.ids else {"identifier": [self.business_identifier(kind, key)]}
        return {"resourceType": kind, **local_id, "meta": meta, **business_id, **without_empty(fields)}

    def local_id(self, kind: str, key: str) -> str:
        """The id in the form that this system uses: a UUID, a hash, or a number."""
        words = (self.source.ods, self.source.system, self.person.nhs_number, kind, key)
        match self.source.system:
            case "pds":
                return self.nhs_number
            case "emis-web":
                return stable_uuid(*words).upper()
            case "systmone":
                return fingerprint(*words).hex()[:16]
            case "rio":
                return f"RIO.{kind[:3].upper()}.{int.from_bytes(fingerprint(*words)[:5])}"
            case _:
                return str(int.from_bytes(fingerprint(*words)[:7]))

    def business_identifier(self, kind: str, key: str) -> Json:
        """An Identifier in the system's own namespace."""
        digest = fingerprint(self.source.ods, self.person.nhs_number, kind, key)
        return {"system": f"https://{self.source.system}.example.org/Id/{kind}", "value": digest.hex()[:12].upper()}

    def full_url(self, kind: str, key: str) -> str:
        """The full URL of a resource in this source's Bundles."""
        token = self.local_id(kind, key) if self.style.ids else self.business_identifier(kind, key)["value"]
        return self._url(kind, token)

    def resource_url(self, resource: Json) -> str:
        """The full URL of a resource that this writer made."""
        token = resource["id"] if self.style.ids else resource["identifier"][-1]["value"]
        return self._url(resource["resourceType"], token)

    def _url(self, kind: str, token: str) -> str:
        if base := self.style.base_url:
            return f"{base}/{kind}/{token}"
        return f"urn:uuid:{stable_uuid(self.source.ods, self.source.system, kind, token)}"

    def reference(self, kind: str, key: str) -> Json:
        """A reference to a resource of the same Bundle: relative where full URLs have a base, else by urn:uuid."""
        if self.style.base_url:
            return {"reference": f"{kind}/{self.local_id(kind, key)}"}
        return {"reference": self.full_url(kind, key)}

    @property
    def subject(self) -> Json:
        """A reference to the person's Patient."""
        match self.subject_form or self.style.subject:
            case "entry":
                return {"reference": self.full_url("Patient", "patient")}
            case "number":
                return {"reference": f"Patient/{self.nhs_number}"}
            case "conditional":
                return {"reference": f"Patient?identifier={NHS_NUMBER}|{self.nhs_number}"}
            case _:
                return logical_reference("Patient", NHS_NUMBER, self.nhs_number)

    def instant(self, at: datetime) -> str:
        """A FHIR instant as this system writes it."""
        return fhir_instant(at, self.source.system)


def writer_for(
    source: SourceSystem, person: Person, *, nhs_number: str | None = None, subject_form: SubjectForm | None = None
) -> SourceWriter:
    """A writer that files under `nhs_number`, by default the person's current one."""
    return SourceWriter(source, person, nhs_number or person.nhs_number, subject_form)


VERIFIED = concept_from(
    "https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatusEngland",
    "01",
    "Number present and verified",
)


def patient_resource(writer: SourceWriter, recorded: datetime, *, verified: bool = False, replaces: str = "") -> Json:
    """The Patient as this source knows the person.

    `verified`: the source traced the number with PDS. `replaces`: the NHS number that this one supersedes.
    """
    person = writer.person
    fields: Json = {
        "identifier": _identifiers(writer, verified),
        "active": True,
        "name": [{"use": "official", "family": person.family, "given": [person.given]}],
        "gender": person.gender,
        "birthDate": person.born.isoformat(),
        "deceasedDateTime": person.died.isoformat() if person.died and _knows_of_death(writer, recorded) else None,
        **({} if person.protected else _contact_details(writer)),
        "generalPractitioner": [_practice_reference(writer)] if _may_name_practice(writer) else None,
        "link": [_replaces_link(replaces)] if replaces else None,
    }
    resource = writer.resource(
        "Patient", "patient", recorded, fields, confidentiality=("R",) if person.protected else ()
    )
    # The NHS number comes in addition to the system's own identifier.
    resource["identifier"] = fields["identifier"]
    return resource


def _identifiers(writer: SourceWriter, verified: bool) -> list[Json]:
    number = identifier(NHS_NUMBER, writer.nhs_number)
    if verified:
        status = {"url": f"{UK_CORE}Extension-UKCore-NHSNumberVerificationStatus", "valueCodeableConcept": VERIFIED}
        number = {"extension": [status], **number}
    if writer.source.kind == "demographics":
        return [number]
    return [number, writer.business_identifier("Patient", "patient")]


def _practice_reference(writer: SourceWriter) -> Json:
    """The registered practice. For a person who has moved, the demographic authority adds the first day."""
    person = writer.person
    reference = organisation(person.practice)
    if person.registered_since is None or writer.source.kind != "demographics":
        return reference
    return {**reference, "identifier": {**reference["identifier"], "period": period(person.registered_since)}}


def _contact_details(writer: SourceWriter) -> Json:
    person = writer.person
    home = {"use": "home", "line": [person.address[0]], "city": person.address[1], "postalCode": person.postcode}
    email = f"person{person.index}@example.org"
    return {
        "telecom": [
            {"system": "phone", "value": person.phone, "use": "mobile" if person.phone.startswith("07") else "home"},
            {"system": "email", "value": email, "use": "home"},
        ],
        "address": [home],
    }


def _knows_of_death(writer: SourceWriter, recorded: datetime) -> bool:
    """Only the authority and practices learn of a death; other sources still state a living person."""
    died = writer.person.died
    return died is not None and recorded.date() >= died and writer.source.kind in ("demographics", "gp")


def _may_name_practice(writer: SourceWriter) -> bool:
    """Only the practice itself states where a protected person is registered."""
    return writer.source.kind == "gp" or not writer.person.protected


def _replaces_link(number: str) -> Json:
    return {"other": logical_reference("Patient", NHS_NUMBER, number), "type": "replaces"}


def transaction_submission(
    writer: SourceWriter,
    at: datetime,
    resources: Sequence[Json],
    *,
    cases: Sequence[TroubleCase] = (),
    complete: Sequence[str] = (),
    deleted: Sequence[Json] = (),
) -> SampleSubmission:
    """A transaction. The Patient comes first where the source refers to it as an entry of the same Bundle.

    `complete`: types of which this is the source's whole list. `deleted`: DELETE entries, which come last.
    """
    patients = [patient_resource(writer, at)] if (writer.subject_form or writer.style.subject) == "entry" else []
    entries = [request_entry(writer, resource) for resource in (*patients, *resources)]
    bundle = transaction_bundle(writer.source, at, [*entries, *deleted], complete=complete)
    return make_submission(writer.source, bundle, cases)


def request_entry(writer: SourceWriter, resource: Json) -> Json:
    """An entry with the request that this system makes: PUT by id, POST, or a conditional create by identifier."""
    url = writer.resource_url(resource)
    if not writer.style.ids:
        return post_entry(url, resource, if_none_exist=resource["identifier"][-1])
    return post_entry(url, resource) if writer.source.system == "systmone" else put_entry(url, resource)


def collection_submission(
    writer: SourceWriter, at: datetime, resources: Sequence[Json], *, cases: Sequence[TroubleCase] = ()
) -> SampleSubmission:
    entries = [resource_entry(writer.resource_url(resource), resource) for resource in resources]
    return make_submission(writer.source, collection_bundle(writer.source, at, entries), cases)


def trouble_case(writer: SourceWriter, trouble: str, resource: Json, note: str) -> TroubleCase:
    """An example for the manifest: this resource shows that trouble."""
    kind = resource["resourceType"]
    if "id" in resource:
        return TroubleCase(trouble, writer.nhs_number, writer.source, f"{kind}/{resource['id']}", note)
    business_id = resource["identifier"][-1]
    label = f"{kind}?identifier={business_id['system']}|{business_id['value']}"
    return TroubleCase(trouble, writer.nhs_number, writer.source, label, note)
