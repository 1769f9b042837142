"""Plans, teams, flags and the person's own words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from random import Random

from onestory.sample import codes as sample_codes
from onestory.sample.codes import Code
from onestory.sample.resources import Json, concept, narrative, organisation, term
from onestory.sample.staff import signed_by
from onestory.sample.statements import provider
from onestory.sample.voice import Voice

ENGLAND = "https://fhir.nhs.uk/England/CodeSystem/"

_ADJUSTMENTS = (
    "Needs letters in large print (24 point)",
    "Allow a double appointment; anxious in waiting rooms",
    "Hearing aid left ear: face the person and speak slowly",
    "Step-free access; uses a wheelchair outdoors",
)
_MATTERS = (
    "My garden and my dog Bryn 🐕 matter most. I want to stay at home.",
    "Please speak to me first, not to my daughter. I like a bit of banter.",
    "I pray five times a day; please ask before you visit at midday. جزاك الله خيرا",
    "Dwi'n siarad Cymraeg. Please don't rush me: my words come slowly since the stroke.",
)


def care_plan(
    voice: Voice, key: str, recorded: datetime, kind: Code, text: str, *, secrecy: Sequence[str] = ()
) -> Json:
    fields = {
        "text": narrative(text),
        "status": "active",
        "intent": "plan",
        "category": [concept(kind)],
        "title": kind.display,
        "description": text,
        "subject": voice.subject,
        "period": {"start": recorded.date().isoformat()},
        "author": provider(voice),
    }
    return voice.resource("CarePlan", key, recorded, fields, secrecy=secrecy)


def care_team(voice: Voice, key: str, recorded: datetime, name: str) -> Json:
    fields = {
        "status": "active",
        "name": name,
        "subject": voice.subject,
        "participant": [
            {"member": signed_by(voice.source), "onBehalfOf": organisation(voice.source)},
            {"member": organisation(voice.person.practice)},
        ],
        "managingOrganization": [organisation(voice.source)],
    }
    return voice.resource("CareTeam", key, recorded, fields)


def service_request(voice: Voice, key: str, recorded: datetime, code: Code, text: str) -> Json:
    fields = {
        "status": "active",
        "intent": "order",
        "code": concept(code, text),
        "subject": voice.subject,
        "authoredOn": recorded.date().isoformat(),
        "requester": signed_by(voice.source),
        "performer": [organisation(voice.source)],
    }
    return voice.resource("ServiceRequest", key, recorded, fields)


def flag(voice: Voice, key: str, recorded: datetime, kind: str, chance: Random) -> Json:
    """`kind`: communication-support (a reasonable adjustment), child-protection or respect."""
    categories, code = {
        "communication-support": (
            [
                term(f"{ENGLAND}England-FlagCategoryPatient", "national-reasonable-adjustment-flag"),
                term(f"{ENGLAND}England-FlagCategoryRA", "communication-support", "Communication support"),
            ],
            {"text": chance.choice(_ADJUSTMENTS)},
        ),
        "child-protection": (
            [term(f"{ENGLAND}England-FlagCategoryPatient", "child-protection-information-system-flag")],
            concept(sample_codes.CHILD_PROTECTION),
        ),
        "respect": (
            [term("https://fhir.nhs.uk/CodeSystem/flag-categories-bars", "RT", "ReSPECT")],
            concept(sample_codes.HAS_RESPECT),
        ),
    }[kind]
    fields = {
        "status": "active",
        "category": categories,
        "code": code,
        "subject": voice.subject,
        "period": {"start": recorded.date().isoformat()},
        "author": organisation(voice.source),
    }
    return voice.resource("Flag", key, recorded, fields)


def about_me(voice: Voice, key: str, recorded: datetime, chance: Random) -> Json:
    """About Me (PRSB): what matters to the person, in the person's own words."""
    words = chance.choice(_MATTERS)
    fields = {
        "text": narrative(words),
        "status": "final",
        "type": concept(sample_codes.ABOUT_ME, "About Me"),
        "subject": voice.subject,
        "date": voice.instant(recorded),
        "author": [voice.subject],
        "title": "About Me",
        "section": [
            {"title": "What is most important to me", "text": narrative(words)},
            {"title": "How best to support me", "text": narrative(chance.choice(_ADJUSTMENTS))},
        ],
    }
    return voice.resource("Composition", key, recorded, fields)


def respect_form(voice: Voice, key: str, recorded: datetime, chance: Random) -> Json:
    """A pointer to the signed ReSPECT form, with its decision in the description."""
    url = f"https://{voice.source.system}.example.org/documents/{chance.getrandbits(40):010x}.pdf"
    fields = {
        "status": "current",
        "docStatus": "final",
        "type": concept(sample_codes.RESPECT_FORM),
        "subject": voice.subject,
        "date": voice.instant(recorded),
        "author": [signed_by(voice.source)],
        "custodian": organisation(voice.source),
        "description": "CPR attempts NOT recommended. Comfort and treatment of infection at home preferred.",
        "content": [{"attachment": {"contentType": "application/pdf", "url": url, "title": "ReSPECT form"}}],
    }
    return voice.resource("DocumentReference", key, recorded, fields)
