"""The Patient as each source knows the person: with its own id, and often with less, or older, detail."""

from __future__ import annotations

from datetime import datetime

from onestory.sample.elements import NHS_NUMBER, UK_CORE, Json, identifier, known_as, organisation, period, term
from onestory.sample.voice import Voice

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
