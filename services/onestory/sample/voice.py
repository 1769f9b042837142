"""How one system speaks of one person: its ids, its way to write references, its clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from onestory.sample import calendar
from onestory.sample.chance import fingerprint, uuid_of
from onestory.sample.elements import NHS_NUMBER, Json, known_as, labels, present
from onestory.sample.network import Source
from onestory.sample.people import Person

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
    source: Source
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
        return calendar.instant(at, self.source.system)


def voice(source: Source, person: Person, **others: Any) -> Voice:
    return Voice(source, person, others.pop("nhs_number", person.nhs_number), **others)
