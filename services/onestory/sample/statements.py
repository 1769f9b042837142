"""Clinical statements: one function for each FHIR R4 resource type that several sources publish."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from random import Random

from onestory.sample import codes as sample_codes
from onestory.sample.codes import Code, Measure
from onestory.sample.resources import Json, coding, concept, organisation, period, quantity, term
from onestory.sample.staff import signed_by
from onestory.sample.story import Allergy, Medicine, Problem, Vaccination
from onestory.sample.voice import Voice

DMD = "https://dmd.nhs.uk"
CARE_KINDS = "https://fhir.nhs.uk/STU3/CodeSystem/EMS-PDS-PatientCareProvisionType-1"


def condition(
    voice: Voice,
    key: str,
    problem: Problem,
    recorded: datetime,
    *,
    text: str = "",
    note: str = "",
    status: str = "",
    wrong: bool = False,
    secrecy: Sequence[str] = (),
) -> Json:
    """`status` overrides the story (con-4: an abated condition is not active); `wrong` withdraws it (con-5)."""
    status = status or ("resolved" if problem.ended else "active")
    ended = problem.ended if status != "active" else None
    fields = {
        "clinicalStatus": None if wrong else term("condition-clinical", status),
        "verificationStatus": term("condition-ver-status", "entered-in-error" if wrong else "confirmed"),
        "category": [term("condition-category", "problem-list-item", "Problem List Item")],
        "code": concept(problem.code, text),
        "subject": voice.subject,
        "onsetDateTime": problem.onset.isoformat(),
        "abatementDateTime": ended.isoformat() if ended else None,
        "recordedDate": problem.onset.isoformat(),
        "asserter": signed_by(voice.source),
        "note": [{"text": note}] if note else None,
    }
    return voice.resource("Condition", key, recorded, fields, secrecy=secrecy)


def allergy(
    voice: Voice, key: str, known: Allergy, recorded: datetime, *, text: str = "", refuted: bool = False, note: str = ""
) -> Json:
    reaction = {
        "substance": concept(known.substance) if known.substance else None,
        "manifestation": [concept(known.reaction)] if known.reaction else None,
        "severity": "severe" if known.severe else "mild",
    }
    fields = {
        "clinicalStatus": term("allergyintolerance-clinical", "inactive" if refuted else "active"),
        "verificationStatus": term("allergyintolerance-verification", "refuted" if refuted else "confirmed"),
        "type": "allergy" if known.reaction else None,
        "criticality": ("high" if known.severe else "low") if known.reaction else None,
        "code": concept(known.code, text),
        "patient": voice.subject,
        "recordedDate": known.since.isoformat(),
        "asserter": signed_by(voice.source),
        "note": [{"text": note}] if note else None,
        "reaction": [{name: part for name, part in reaction.items() if part}] if known.reaction else None,
    }
    return voice.resource("AllergyIntolerance", key, recorded, fields)


def prescription(voice: Voice, key: str, medicine: Medicine, recorded: datetime, *, reason: Json | None = None) -> Json:
    fields = {
        "status": "completed" if medicine.stopped else "active",
        "intent": "order",
        "medicationCodeableConcept": medication(voice, medicine.code),
        "subject": voice.subject,
        "authoredOn": medicine.since.isoformat(),
        "requester": signed_by(voice.source),
        "reasonReference": [reason] if reason else None,
        "courseOfTherapyType": term("medicationrequest-course-of-therapy", _course(medicine)),
        "dosageInstruction": [dosage(medicine.times_a_day)],
    }
    return voice.resource("MedicationRequest", key, recorded, fields)


def registration(voice: Voice, key: str, since: date, until: date, recorded: datetime) -> Json:
    """That a practice had the person registered, and that this has ended."""
    fields = {
        "status": "finished",
        "type": [term(CARE_KINDS, "1", "Primary care")],
        "patient": voice.subject,
        "managingOrganization": organisation(voice.source),
        "period": period(since, until),
    }
    return voice.resource("EpisodeOfCare", key, recorded, fields)


def taken(
    voice: Voice, key: str, medicine: Medicine, recorded: datetime, *, times_a_day: int = 0, text: str = ""
) -> Json:
    """A MedicationStatement: what a source heard or saw, not what it ordered."""
    fields = {
        "status": "completed" if medicine.stopped else "active",
        "medicationCodeableConcept": concept(medicine.code, text),
        "subject": voice.subject,
        "effectivePeriod": period(medicine.since, medicine.stopped),
        "dateAsserted": recorded.date().isoformat(),
        "informationSource": signed_by(voice.source),
        "dosage": [dosage(times_a_day or medicine.times_a_day)],
    }
    return voice.resource("MedicationStatement", key, recorded, fields)


def medication(voice: Voice, code: Code) -> Json:
    """Some systems say dm+d with its own URL beside SNOMED CT, as UK Core asks; the codes are the same."""
    codings = [coding(code)]
    if voice.source.system == "systmone":
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


def immunisation(voice: Voice, key: str, given: Vaccination, recorded: datetime) -> Json:
    fields = {
        "status": "completed",
        "vaccineCode": concept(given.code),
        "patient": voice.subject,
        "occurrenceDateTime": given.day.isoformat(),
        "primarySource": voice.source.kind == "gp",
        "doseQuantity": quantity(0.5, 1, "ml", "mL"),
        "performer": [{"actor": organisation(voice.source)}],
    }
    return voice.resource("Immunization", key, recorded, fields)


def measurement(voice: Voice, key: str, measure: Measure, day: date, recorded: datetime, chance: Random) -> Json:
    return observed(voice, key, measure, day, recorded, chance.uniform(measure.low, measure.high))


def weighed(voice: Voice, key: str, day: date, recorded: datetime, chance: Random) -> Json:
    return observed(voice, key, sample_codes.WEIGHT, day, recorded, voice.person.weight + chance.uniform(-2, 2))


def observed(voice: Voice, key: str, measure: Measure, day: date, recorded: datetime, number: float) -> Json:
    fields = {
        "status": "final",
        "category": [term("observation-category", _category(measure))],
        "code": concept(measure.code),
        "subject": voice.subject,
        "effectiveDateTime": day.isoformat(),
        "performer": [organisation(voice.source)],
        "valueQuantity": quantity(number, measure.decimals, measure.unit, measure.ucum),
    }
    return voice.resource("Observation", key, recorded, fields)


def blood_pressure(voice: Voice, key: str, day: date, recorded: datetime, chance: Random) -> Json:
    pairs = ((sample_codes.SYSTOLIC, 104, 168), (sample_codes.DIASTOLIC, 58, 96))
    fields = {
        "status": "final",
        "category": [term("observation-category", "vital-signs")],
        "code": concept(sample_codes.BLOOD_PRESSURE),
        "subject": voice.subject,
        "effectiveDateTime": day.isoformat(),
        "performer": [organisation(voice.source)],
        "component": [
            {"code": concept(code), "valueQuantity": quantity(chance.randrange(low, high), 0, "mmHg", "mm[Hg]")}
            for code, low, high in pairs
        ],
    }
    return voice.resource("Observation", key, recorded, fields)


def encounter(voice: Voice, key: str, day: date, recorded: datetime, *, kind: Code, ward: bool = False) -> Json:
    act = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP" if ward else "AMB"}
    fields = {
        "status": "finished",
        "class": act,
        "type": [concept(kind)],
        "subject": voice.subject,
        "participant": [{"individual": signed_by(voice.source, -1)}],
        "period": period(day, day),
        "serviceProvider": provider(voice),
    }
    return voice.resource("Encounter", key, recorded, fields)


def provider(voice: Voice) -> Json:
    """The publishing organisation: a conditional reference from systems that write them, else a logical one."""
    if voice.source.system in ("emis-web", "mosaic"):
        known = organisation(voice.source)["identifier"]
        return {"reference": f"Organization?identifier={known['system']}|{known['value']}"}
    return organisation(voice.source)


def _course(medicine: Medicine) -> str:
    return "acute" if medicine.stopped else "continuous"


def _category(measure: Measure) -> str:
    laboratory = measure in sample_codes.BLOOD_TESTS
    return "laboratory" if laboratory else "survey" if measure is sample_codes.NEWS2 else "vital-signs"
