"""How one system speaks of one person: its ids, its way to write references, its clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from onestory.sample import chance
from onestory.sample import resources as sample_resources
from onestory.sample.chance import fingerprint, uuid_of
from onestory.sample.network import SourceSystem
from onestory.sample.people import Person
from onestory.sample.resources import (
    NHS_NUMBER,
    UK_CORE,
    Case,
    Json,
    PublishedBundle,
    identifier,
    known_as,
    labels,
    organisation,
    period,
    present,
    term,
)

Subject = Literal["entry", "number", "logical", "conditional"]


@dataclass(frozen=True, slots=True)
class Manner:
    """`subject`: how the person is referred to. `address`: base of full URLs, or empty for urn:uuid. `ids`: whether
    resources carry the system's id, or only a business identifier."""

    subject: Subject
    address: str = ""
    ids: bool = True


MANNERS: dict[str, Manner] = {
    "emis-web": Manner("entry"),
    "systmone": Manner("number", "https://systmone.example.org/fhir"),
    "rio": Manner("logical", "https://rio.example.org/fhir"),
    "mosaic": Manner("entry", ids=False),
    "carenotes": Manner("number"),
    "millennium": Manner("number"),
    "pds": Manner("number"),
}


@dataclass(frozen=True, slots=True)
class Voice:
    source: SourceSystem
    person: Person
    nhs_number: str
    """The number under which this source files: not always the person's current one, nor always the right person's."""
    subject_as: Subject | None = None
    """Overrides the manner of the system, for a Bundle that needs it."""

    @property
    def manner(self) -> Manner:
        return MANNERS[self.source.system]

    def resource(self, kind: str, key: str, recorded: datetime, fields: Json, *, secrecy: Sequence[str] = ()) -> Json:
        """A resource of this source. The same `key` gives the same local id, whatever is said and of whomever."""
        meta = present({"lastUpdated": self.instant(recorded), "security": labels(*secrecy)})
        local = {"id": self.local_id(kind, key)} if self.manner.ids else {}
        named = {} if self.manner.ids else {"identifier": [self.business_identifier(kind, key)]}
        return {"resourceType": kind, **local, "meta": meta, **named, **present(fields)}

    def local_id(self, kind: str, key: str) -> str:
        words = (self.source.ods, self.source.system, self.person.nhs_number, kind, key)
        match self.source.system:
            case "pds":
                return self.nhs_number
            case "emis-web":
                return uuid_of(*words).upper()
            case "systmone":
                return fingerprint(*words).hex()[:16]
            case "rio":
                return f"RIO.{kind[:3].upper()}.{int.from_bytes(fingerprint(*words)[:5])}"
            case _:
                return str(int.from_bytes(fingerprint(*words)[:7]))

    def business_identifier(self, kind: str, key: str) -> Json:
        words = fingerprint(self.source.ods, self.person.nhs_number, kind, key)
        return {"system": f"https://{self.source.system}.example.org/Id/{kind}", "value": words.hex()[:12].upper()}

    def address(self, kind: str, key: str) -> str:
        """The full URL of a resource in this source's Bundles."""
        token = self.local_id(kind, key) if self.manner.ids else self.business_identifier(kind, key)["value"]
        return self._address(kind, token)

    def address_of(self, resource: Json) -> str:
        """The full URL of a resource that this voice made."""
        token = resource["id"] if self.manner.ids else resource["identifier"][-1]["value"]
        return self._address(resource["resourceType"], token)

    def _address(self, kind: str, token: str) -> str:
        if base := self.manner.address:
            return f"{base}/{kind}/{token}"
        return f"urn:uuid:{uuid_of(self.source.ods, self.source.system, kind, token)}"

    def reference(self, kind: str, key: str) -> Json:
        """A reference to a resource of the same Bundle: relative where full URLs are addresses, else by urn:uuid."""
        address = self.address(kind, key)
        return {"reference": f"{kind}/{self.local_id(kind, key)}" if self.manner.address else address}

    @property
    def subject(self) -> Json:
        match self.subject_as or self.manner.subject:
            case "entry":
                return {"reference": self.address("Patient", "patient")}
            case "number":
                return {"reference": f"Patient/{self.nhs_number}"}
            case "conditional":
                return {"reference": f"Patient?identifier={NHS_NUMBER}|{self.nhs_number}"}
            case _:
                return known_as("Patient", NHS_NUMBER, self.nhs_number)

    def instant(self, at: datetime) -> str:
        return chance.instant(at, self.source.system)


def voice(source: SourceSystem, person: Person, **others: Any) -> Voice:
    return Voice(source, person, others.pop("nhs_number", person.nhs_number), **others)


# The Patient as each source knows the person: with its own id, and often with less, or older, detail.

VERIFIED = term(
    "https://fhir.hl7.org.uk/CodeSystem/UKCore-NHSNumberVerificationStatusEngland",
    "01",
    "Number present and verified",
)


def patient(voice: Voice, recorded: datetime, *, verified: bool = False, replaces: str = "") -> Json:
    """`verified`: the source traced the number with PDS. `replaces`: the NHS number that this one supersedes."""
    person = voice.person
    fields: Json = {
        "identifier": _identifiers(voice, verified),
        "active": True,
        "name": [{"use": "official", "family": person.family, "given": [person.given]}],
        "gender": person.gender,
        "birthDate": person.born.isoformat(),
        "deceasedDateTime": person.died.isoformat() if person.died and _heard_of_death(voice, recorded) else None,
        **({} if person.protected else _whereabouts(voice)),
        "generalPractitioner": [_registered(voice)] if _may_name_practice(voice) else None,
        "link": [_replaced(replaces)] if replaces else None,
    }
    resource = voice.resource("Patient", "patient", recorded, fields, secrecy=("R",) if person.protected else ())
    # The NHS number stands beside the system's own identifier, not instead of it.
    resource["identifier"] = fields["identifier"]
    return resource


def _identifiers(voice: Voice, verified: bool) -> list[Json]:
    number = identifier(NHS_NUMBER, voice.nhs_number)
    if verified:
        status = {"url": f"{UK_CORE}Extension-UKCore-NHSNumberVerificationStatus", "valueCodeableConcept": VERIFIED}
        number = {"extension": [status], **number}
    if voice.source.kind == "demographics":
        return [number]
    return [number, voice.business_identifier("Patient", "patient")]


def _registered(voice: Voice) -> Json:
    """The registered practice; the authority also says since when, of those who have moved."""
    person = voice.person
    named = organisation(person.practice)
    if person.moved is None or voice.source.kind != "demographics":
        return named
    return {**named, "identifier": {**named["identifier"], "period": period(person.moved)}}


def _whereabouts(voice: Voice) -> Json:
    person = voice.person
    home = {"use": "home", "line": [person.address[0]], "city": person.address[1], "postalCode": person.postcode}
    email = f"person{person.index}@example.org"
    return {
        "telecom": [
            {"system": "phone", "value": person.phone, "use": "mobile" if person.phone.startswith("07") else "home"},
            {"system": "email", "value": email, "use": "home"},
        ],
        "address": [home],
    }


def _heard_of_death(voice: Voice, recorded: datetime) -> bool:
    """The others hear of it later, or never: what they publish still speaks of a living person."""
    died = voice.person.died
    return died is not None and recorded.date() >= died and voice.source.kind in ("demographics", "gp")


def _may_name_practice(voice: Voice) -> bool:
    """Of a protected person nobody says where the person is registered, except that practice itself."""
    return voice.source.kind == "gp" or not voice.person.protected


def _replaced(number: str) -> Json:
    return {"other": known_as("Patient", NHS_NUMBER, number), "type": "replaces"}


# What a source says of one person, wrapped as that source wraps it.


def transact(
    voice: Voice,
    at: datetime,
    resources: Sequence[Json],
    *,
    cases: Sequence[Case] = (),
    complete: Sequence[str] = (),
    deleted: Sequence[Json] = (),
) -> PublishedBundle:
    """A transaction. The Patient comes first where the source refers to it as an entry of the same Bundle."""
    known = [patient(voice, at)] if (voice.subject_as or voice.manner.subject) == "entry" else []
    entries = [requested(voice, resource) for resource in (*known, *resources)]
    bundle = sample_resources.transaction(voice.source, at, [*entries, *deleted], complete=complete)
    return sample_resources.submission(voice.source, bundle, cases)


def requested(voice: Voice, resource: Json) -> Json:
    """An entry with the request that this system makes: PUT by id, POST, or POST unless the identifier is known."""
    url = voice.address_of(resource)
    if not voice.manner.ids:
        return sample_resources.post(url, resource, if_none_exist=resource["identifier"][-1])
    return (
        sample_resources.post(url, resource)
        if voice.source.system == "systmone"
        else sample_resources.put(url, resource)
    )


def collect(voice: Voice, at: datetime, resources: Sequence[Json], *, cases: Sequence[Case] = ()) -> PublishedBundle:
    entries = [sample_resources.entry(voice.address_of(resource), resource) for resource in resources]
    return sample_resources.submission(voice.source, sample_resources.collection(voice.source, at, entries), cases)


def case(voice: Voice, trouble: str, resource: Json, note: str) -> Case:
    """An example for the manifest: this resource shows that difficulty."""
    kind = resource["resourceType"]
    if "id" in resource:
        return Case(trouble, voice.nhs_number, voice.source, f"{kind}/{resource['id']}", note)
    named = resource["identifier"][-1]
    label = f"{kind}?identifier={named['system']}|{named['value']}"
    return Case(trouble, voice.nhs_number, voice.source, label, note)
