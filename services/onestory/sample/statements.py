"""One function for each FHIR R4 resource type that the synthetic sources publish.

All take the writer (source and person), a `key` that names the resource within them, and the time `recorded`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from random import Random

from onestory.sample import codes
from onestory.sample.codes import Code, Measure
from onestory.sample.directory import staff_reference
from onestory.sample.resources import Json, coding, concept, concept_from, narrative, organisation, period, quantity
from onestory.sample.story import Allergy, Medicine, Problem, Vaccination
from onestory.sample.writer import SourceWriter

DMD = "https://dmd.nhs.uk"
ENGLAND = "https://fhir.nhs.uk/England/CodeSystem/"

_ADJUSTMENTS = (
    "Needs letters in large print (24 point)",
    "Allow a double appointment; anxious in waiting rooms",
    "Hearing aid left ear: face the person and speak slowly",
    "Step-free access; uses a wheelchair outdoors",
)
_ABOUT_ME_TEXTS = (
    "My garden and my dog Bryn 🐕 matter most. I want to stay at home.",
    "Please speak to me first, not to my daughter. I like a bit of banter.",
    "I pray five times a day; please ask before you visit at midday. جزاك الله خيرا",
    "Dwi'n siarad Cymraeg. Please don't rush me: my words come slowly since the stroke.",
)


def condition(
    writer: SourceWriter,
    key: str,
    problem: Problem,
    recorded: datetime,
    *,
    text: str = "",
    note: str = "",
    status: str = "",
    entered_in_error: bool = False,
    confidentiality: Sequence[str] = (),
) -> Json:
    """A Condition. `status` overrides the clinical status of the story; `entered_in_error` withdraws the statement.

    An abated condition is not active (con-4). A withdrawn one has no clinical status (con-5).
    """
    status = status or ("resolved" if problem.ended else "active")
    ended = problem.ended if status != "active" else None
    fields = {
        "clinicalStatus": None if entered_in_error else concept_from("condition-clinical", status),
        "verificationStatus": concept_from(
            "condition-ver-status", "entered-in-error" if entered_in_error else "confirmed"
        ),
        "category": [concept_from("condition-category", "problem-list-item", "Problem List Item")],
        "code": concept(problem.code, text),
        "subject": writer.subject,
        "onsetDateTime": problem.onset.isoformat(),
        "abatementDateTime": ended.isoformat() if ended else None,
        "recordedDate": problem.onset.isoformat(),
        "asserter": staff_reference(writer.source),
        "note": [{"text": note}] if note else None,
    }
    return writer.resource("Condition", key, recorded, fields, confidentiality=confidentiality)


def allergy(
    writer: SourceWriter,
    key: str,
    stated: Allergy,
    recorded: datetime,
    *,
    text: str = "",
    refuted: bool = False,
    note: str = "",
) -> Json:
    reaction = {
        "substance": concept(stated.substance) if stated.substance else None,
        "manifestation": [concept(stated.reaction)] if stated.reaction else None,
        "severity": "severe" if stated.severe else "mild",
    }
    fields = {
        "clinicalStatus": concept_from("allergyintolerance-clinical", "inactive" if refuted else "active"),
        "verificationStatus": concept_from("allergyintolerance-verification", "refuted" if refuted else "confirmed"),
        "type": "allergy" if stated.reaction else None,
        "criticality": ("high" if stated.severe else "low") if stated.reaction else None,
        "code": concept(stated.code, text),
        "patient": writer.subject,
        "recordedDate": stated.since.isoformat(),
        "asserter": staff_reference(writer.source),
        "note": [{"text": note}] if note else None,
        "reaction": [{name: part for name, part in reaction.items() if part}] if stated.reaction else None,
    }
    return writer.resource("AllergyIntolerance", key, recorded, fields)


def prescription(
    writer: SourceWriter, key: str, medicine: Medicine, recorded: datetime, *, reason: Json | None = None
) -> Json:
    fields = {
        "status": "completed" if medicine.stopped else "active",
        "intent": "order",
        "medicationCodeableConcept": medication(writer, medicine.code),
        "subject": writer.subject,
        "authoredOn": medicine.since.isoformat(),
        "requester": staff_reference(writer.source),
        "reasonReference": [reason] if reason else None,
        "courseOfTherapyType": concept_from("medicationrequest-course-of-therapy", _therapy_course(medicine)),
        "dosageInstruction": [dosage(medicine.times_a_day)],
    }
    return writer.resource("MedicationRequest", key, recorded, fields)


def medication_statement(
    writer: SourceWriter, key: str, medicine: Medicine, recorded: datetime, *, times_a_day: int = 0, text: str = ""
) -> Json:
    """A MedicationStatement: a medicine that the source heard of or saw, without an order of its own."""
    fields = {
        "status": "completed" if medicine.stopped else "active",
        "medicationCodeableConcept": concept(medicine.code, text),
        "subject": writer.subject,
        "effectivePeriod": period(medicine.since, medicine.stopped),
        "dateAsserted": recorded.date().isoformat(),
        "informationSource": staff_reference(writer.source),
        "dosage": [dosage(times_a_day or medicine.times_a_day)],
    }
    return writer.resource("MedicationStatement", key, recorded, fields)


def medication(writer: SourceWriter, code: Code) -> Json:
    """A medicine as SNOMED CT. SystmOne adds the same code with the URL of dm+d, as UK Core asks."""
    codings = [coding(code)]
    if writer.source.system == "systmone":
        codings.append({**coding(code), "system": DMD})
    return {"coding": codings, "text": code.display}


def dosage(times_a_day: int) -> Json:
    often = {1: "once", 2: "twice", 3: "three times"}.get(times_a_day, f"{times_a_day} times")
    return {
        "text": f"Take one, {often} a day",
        "timing": {"repeat": {"frequency": times_a_day, "period": 1, "periodUnit": "d"}},
        "route": concept(Code("26643006", "Oral route")),
        "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "dose"}}],
    }


def immunisation(writer: SourceWriter, key: str, vaccination: Vaccination, recorded: datetime) -> Json:
    fields = {
        "status": "completed",
        "vaccineCode": concept(vaccination.code),
        "patient": writer.subject,
        "occurrenceDateTime": vaccination.day.isoformat(),
        "primarySource": writer.source.kind == "gp",
        "doseQuantity": quantity(0.5, 1, "ml", "mL"),
        "performer": [{"actor": organisation(writer.source)}],
    }
    return writer.resource("Immunization", key, recorded, fields)


def random_measurement(
    writer: SourceWriter, key: str, measure: Measure, day: date, recorded: datetime, chance: Random
) -> Json:
    return observation(writer, key, measure, day, recorded, chance.uniform(measure.low, measure.high))


def weight(writer: SourceWriter, key: str, day: date, recorded: datetime, chance: Random) -> Json:
    return observation(writer, key, codes.WEIGHT, day, recorded, writer.person.weight + chance.uniform(-2, 2))


def observation(writer: SourceWriter, key: str, measure: Measure, day: date, recorded: datetime, number: float) -> Json:
    fields = {
        "status": "final",
        "category": [concept_from("observation-category", _category(measure))],
        "code": concept(measure.code),
        "subject": writer.subject,
        "effectiveDateTime": day.isoformat(),
        "performer": [organisation(writer.source)],
        "valueQuantity": quantity(number, measure.decimals, measure.unit, measure.ucum),
    }
    return writer.resource("Observation", key, recorded, fields)


def blood_pressure(writer: SourceWriter, key: str, day: date, recorded: datetime, chance: Random) -> Json:
    pairs = ((codes.SYSTOLIC, 104, 168), (codes.DIASTOLIC, 58, 96))
    fields = {
        "status": "final",
        "category": [concept_from("observation-category", "vital-signs")],
        "code": concept(codes.BLOOD_PRESSURE),
        "subject": writer.subject,
        "effectiveDateTime": day.isoformat(),
        "performer": [organisation(writer.source)],
        "component": [
            {"code": concept(code), "valueQuantity": quantity(chance.randrange(low, high), 0, "mmHg", "mm[Hg]")}
            for code, low, high in pairs
        ],
    }
    return writer.resource("Observation", key, recorded, fields)


def encounter(writer: SourceWriter, key: str, day: date, recorded: datetime, *, kind: Code, ward: bool = False) -> Json:
    act = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP" if ward else "AMB"}
    fields = {
        "status": "finished",
        "class": act,
        "type": [concept(kind)],
        "subject": writer.subject,
        "participant": [{"individual": staff_reference(writer.source, -1)}],
        "period": period(day, day),
        "serviceProvider": provider_reference(writer),
    }
    return writer.resource("Encounter", key, recorded, fields)


def provider_reference(writer: SourceWriter) -> Json:
    """The publishing organisation: a conditional reference from systems that write them, else a logical one."""
    if writer.source.system in ("emis-web", "mosaic"):
        ods_code = organisation(writer.source)["identifier"]
        return {"reference": f"Organization?identifier={ods_code['system']}|{ods_code['value']}"}
    return organisation(writer.source)


def _therapy_course(medicine: Medicine) -> str:
    return "acute" if medicine.stopped else "continuous"


def _category(measure: Measure) -> str:
    laboratory = measure in codes.BLOOD_TESTS
    return "laboratory" if laboratory else "survey" if measure is codes.NEWS2 else "vital-signs"


def care_plan(
    writer: SourceWriter, key: str, recorded: datetime, kind: Code, text: str, *, confidentiality: Sequence[str] = ()
) -> Json:
    fields = {
        "text": narrative(text),
        "status": "active",
        "intent": "plan",
        "category": [concept(kind)],
        "title": kind.display,
        "description": text,
        "subject": writer.subject,
        "period": {"start": recorded.date().isoformat()},
        "author": provider_reference(writer),
    }
    return writer.resource("CarePlan", key, recorded, fields, confidentiality=confidentiality)


def care_team(writer: SourceWriter, key: str, recorded: datetime, name: str) -> Json:
    fields = {
        "status": "active",
        "name": name,
        "subject": writer.subject,
        "participant": [
            {"member": staff_reference(writer.source), "onBehalfOf": organisation(writer.source)},
            {"member": organisation(writer.person.practice)},
        ],
        "managingOrganization": [organisation(writer.source)],
    }
    return writer.resource("CareTeam", key, recorded, fields)


def service_request(writer: SourceWriter, key: str, recorded: datetime, code: Code, text: str) -> Json:
    fields = {
        "status": "active",
        "intent": "order",
        "code": concept(code, text),
        "subject": writer.subject,
        "authoredOn": recorded.date().isoformat(),
        "requester": staff_reference(writer.source),
        "performer": [organisation(writer.source)],
    }
    return writer.resource("ServiceRequest", key, recorded, fields)


def flag(writer: SourceWriter, key: str, recorded: datetime, kind: str, chance: Random) -> Json:
    """A Flag. `kind`: communication-support (a reasonable adjustment), child-protection or respect."""
    categories, code = {
        "communication-support": (
            [
                concept_from(f"{ENGLAND}England-FlagCategoryPatient", "national-reasonable-adjustment-flag"),
                concept_from(f"{ENGLAND}England-FlagCategoryRA", "communication-support", "Communication support"),
            ],
            {"text": chance.choice(_ADJUSTMENTS)},
        ),
        "child-protection": (
            [concept_from(f"{ENGLAND}England-FlagCategoryPatient", "child-protection-information-system-flag")],
            concept(codes.CHILD_PROTECTION),
        ),
        "respect": (
            [concept_from("https://fhir.nhs.uk/CodeSystem/flag-categories-bars", "RT", "ReSPECT")],
            concept(codes.HAS_RESPECT),
        ),
    }[kind]
    fields = {
        "status": "active",
        "category": categories,
        "code": code,
        "subject": writer.subject,
        "period": {"start": recorded.date().isoformat()},
        "author": organisation(writer.source),
    }
    return writer.resource("Flag", key, recorded, fields)


def about_me(writer: SourceWriter, key: str, recorded: datetime, chance: Random) -> Json:
    """A Composition: About Me (PRSB) in the person's own words."""
    words = chance.choice(_ABOUT_ME_TEXTS)
    fields = {
        "text": narrative(words),
        "status": "final",
        "type": concept(codes.ABOUT_ME, "About Me"),
        "subject": writer.subject,
        "date": writer.instant(recorded),
        "author": [writer.subject],
        "title": "About Me",
        "section": [
            {"title": "What is most important to me", "text": narrative(words)},
            {"title": "How best to support me", "text": narrative(chance.choice(_ADJUSTMENTS))},
        ],
    }
    return writer.resource("Composition", key, recorded, fields)
