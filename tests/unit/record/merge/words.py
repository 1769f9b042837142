"""Builds statements from a clinician's shorthand, as `cases.yaml` has it.

A text begins with the source, the kind of statement and its subject. Details follow, each after a semicolon:
practice condition asthma; onset 2003-05-01; status active
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from onestory.record.merge.model import Statement
from onestory.sample import codes as sample_codes
from onestory.sample.codes import LOINC, Code

Json = dict[str, Any]

_HL7 = "http://terminology.hl7.org/CodeSystem/"
SOURCES = {
    "practice": ("A81001", "emis-web"),
    "hospital": ("RYE", "cerner"),
    "laboratory": ("RYE", "winpath"),
    "community": ("RY6", "systmone"),
    "pharmacy": ("FA001", "pmr"),
    "ambulance": ("RX8", "cleric"),
    "hospice": ("8AH01", "emis-web"),
}
_VAGUE = Code("14L..", "H/O: drug allergy", "http://read.info/readv2")
CODES: dict[str, tuple[Code, ...]] = {
    "penicillin-allergy": (sample_codes.PENICILLIN_ALLERGY,),
    "penicillin": (sample_codes.PENICILLIN,),
    "amoxicillin-allergy": (sample_codes.AMOXICILLIN_ALLERGY,),
    "amoxicillin": (sample_codes.AMOXICILLIN,),
    "peanut-allergy": (sample_codes.PEANUT_ALLERGY,),
    "aspirin-allergy": (sample_codes.ASPIRIN_ALLERGY,),
    "nothing-known": (sample_codes.NO_KNOWN_ALLERGY,),
    "no-drug-allergy": (Code("409137002", "No known drug allergy"),),
    "no-problems": (Code("160245001", "No current problems or disability"),),
    "no-medicines": (Code("787481004", "No known medications"),),
    "penicillin-allergy-read": (Code("14L1.", "H/O: penicillin allergy", "http://read.info/readv2"),),
    "penicillin-allergy-both": (
        sample_codes.PENICILLIN_ALLERGY,
        Code("14L1.", "H/O: penicillin allergy", "http://read.info/readv2"),
    ),
    "penicillins-amoxicillin": (sample_codes.PENICILLIN_ALLERGY, sample_codes.AMOXICILLIN_ALLERGY),
    "penicillins-ampicillin": (sample_codes.PENICILLIN_ALLERGY, Code("294506009", "Allergy to ampicillin")),
    "warfarin-and-1mg": (Code("48603004", "Warfarin"), Code("319733000", "Warfarin 1mg tablets")),
    "warfarin-and-5mg": (Code("48603004", "Warfarin"), Code("319735007", "Warfarin 5mg tablets")),
    "vaguely": (_VAGUE,),
    "penicillin-vaguely": (sample_codes.PENICILLIN_ALLERGY, _VAGUE),
    "amoxicillin-vaguely": (sample_codes.AMOXICILLIN_ALLERGY, _VAGUE),
    "asthma": (sample_codes.ASTHMA,),
    "asthma-edition": (Code("195967001", "Asthma", "http://snomed.info/sct/83821000000107"),),
    "diabetes": (sample_codes.DIABETES,),
    "hip-fracture": (sample_codes.HIP_FRACTURE,),
    "urine-infection": (sample_codes.URINARY_INFECTION,),
    "pneumonia": (sample_codes.PNEUMONIA,),
    "stroke": (sample_codes.STROKE,),
    "gout": (sample_codes.GOUT,),
    "left-hip": (Code("287679003", "Left hip region structure"),),
    "right-hip": (Code("287579007", "Right hip region structure"),),
    "words-only": (),
    "degraded-allergy": (Code("196461000000101", "Transfer-degraded drug allergy"),),
    "some-drug": (Code("416098002", "Allergy to drug"),),
    "unknown": (Code("UNK", "Unknown", _HL7 + "v3-NullFlavor"),),
    "warfarin-1mg": (sample_codes.WARFARIN,),
    "warfarin-4mg": (Code("375374009", "Warfarin 4mg tablets"),),
    "warfarin-4mg-dmd": (Code("375374009", "Warfarin 4mg tablets", "https://dmd.nhs.uk"),),
    "metformin": (sample_codes.METFORMIN,),
    "apixaban": (sample_codes.APIXABAN,),
    "clarithromycin": (sample_codes.CLARITHROMYCIN,),
    "flu-vaccine": (sample_codes.FLU_VACCINE,),
    "covid-vaccine": (sample_codes.COVID_VACCINE,),
    "mmr-vaccine": (sample_codes.MMR_VACCINE,),
    "flu-given": (Code("822851000000102", "Seasonal influenza vaccination"),),
    "weight": (sample_codes.WEIGHT.code,),
    "heart-rate": (sample_codes.HEART_RATE.code,),
    "pressure": (sample_codes.BLOOD_PRESSURE,),
    "sodium": (sample_codes.SODIUM.code,),
    "potassium": (sample_codes.POTASSIUM.code,),
    "creatinine": (sample_codes.CREATININE.code,),
    "blood-count": (sample_codes.FULL_BLOOD_COUNT,),
    "smoking": (Code("365981007", "Tobacco smoking behaviour"),),
    "never": (sample_codes.NEVER_SMOKED,),
    "ex-smoker": (sample_codes.EX_SMOKER,),
    "systolic": (sample_codes.SYSTOLIC,),
    "diastolic": (sample_codes.DIASTOLIC,),
    "serum": (Code("119364003", "Serum specimen"),),
    "urine": (Code("122575003", "Urine specimen"),),
    "hip-replacement": (Code("52734007", "Total replacement of hip"),),
    "referral": (sample_codes.SOCIAL_PRESCRIBING,),
    "respect-form": (sample_codes.RESPECT_FORM,),
    "has-respect": (sample_codes.HAS_RESPECT,),
    "not-for-cpr": (Code("450476008", "Not for attempted cardiopulmonary resuscitation"),),
    "for-cpr": (Code("450475007", "For attempted cardiopulmonary resuscitation"),),
    "care-plan": (sample_codes.CARE_PLAN,),
    "about-me": (Code("81338-6", "About me", LOINC),),
}
KINDS = {
    "allergy": "AllergyIntolerance",
    "condition": "Condition",
    "prescribes": "MedicationRequest",
    "takes": "MedicationStatement",
    "medicine": "Medication",
    "vaccine": "Immunization",
    "observes": "Observation",
    "procedure": "Procedure",
    "encounter": "Encounter",
    "document": "DocumentReference",
    "flag": "Flag",
    "care-plan": "CarePlan",
    "refers": "ServiceRequest",
    "report": "DiagnosticReport",
    "specimen": "Specimen",
    "same": "Linkage",
    "apart": "Basic",
}
IDENTIFIERS = {
    "uuid": "https://tools.ietf.org/html/rfc4122",
    "item": "https://fhir.nhs.uk/Id/prescription-order-item-number",
    "prescription": "https://fhir.nhs.uk/Id/prescription-order-number",
    "accession": "https://laboratory.example.nhs.uk/accession",
    "ubrn": "https://fhir.nhs.uk/Id/UBRN",
}
UNITS = {"kg": "kg", "bpm": "/min", "mmol/L": "mmol/L", "umol/L": "umol/L", "mmHg": "mm[Hg]"}
_FIRST = datetime(2026, 11, 1, tzinfo=UTC)


def said(name: str, words: str, place: int) -> Statement:
    """The statement that a case calls `name`. Its default time is a day after the statement before it."""
    head, *parts = (part.strip() for part in words.split(";"))
    source, kind, *about = head.split()
    details = [(part.partition(" ")[0], part.partition(" ")[2]) for part in parts]
    recorded = dict(details).get("recorded")
    organisation, system = SOURCES[source]
    return Statement(
        shared_id=name,
        resource_type=KINDS[kind],
        organisation=organisation,
        system=system,
        event_id=UUID(int=place + 1),
        recorded_at=datetime.fromisoformat(recorded).replace(tzinfo=UTC)
        if recorded
        else _FIRST + timedelta(days=place),
        broker_time=_FIRST + timedelta(days=100 + place),
        content=_content(KINDS[kind], about, details),
    )


def concept(name: str, text: str = "") -> Json:
    codings = [{"system": code.system, "code": code.code, "display": code.display} for code in CODES[name]]
    return {**({"coding": codings} if codings else {}), **({"text": text} if text else {})}


def _content(kind: str, about: list[str], details: list[tuple[str, str]]) -> Json:
    content: Json = {"resourceType": kind}
    if kind == "Linkage":
        items = [{"type": "alternate", "resource": {"reference": f"Condition/{each}"}} for each in about]
        return {**content, "active": ("inactive", "") not in details, "item": items}
    if kind == "Basic":
        kept = "https://onestory.nhs.uk/StructureDefinition/kept-apart"
        judged = {"system": "https://onestory.nhs.uk/CodeSystem/record-judgement", "code": "keep-apart"}
        extensions = [{"url": kept, "valueReference": {"reference": f"Condition/{each}"}} for each in about]
        return {**content, "code": {"coding": [judged]}, "extension": extensions}
    if about:
        content[_code_element(kind)] = _repeated(kind, concept(about[0]))
    for name, value in details:
        _WORDS[name](content, value)
    return content


def _code_element(kind: str) -> str:
    medicines = {"MedicationRequest": "medicationCodeableConcept", "MedicationStatement": "medicationCodeableConcept"}
    return {**medicines, "Immunization": "vaccineCode", "DocumentReference": "type", "CarePlan": "category"}.get(
        kind, "code"
    )


def _repeated(kind: str, value: Json) -> Any:
    return [value] if kind == "CarePlan" else value


def _status(content: Json, value: str) -> None:
    kind = content["resourceType"]
    if kind not in ("AllergyIntolerance", "Condition"):
        content["status"] = value
    elif value in ("refuted", "confirmed", "unconfirmed", "provisional", "differential", "entered-in-error"):
        system = "allergyintolerance-verification" if kind == "AllergyIntolerance" else "condition-ver-status"
        content["verificationStatus"] = {"coding": [{"system": _HL7 + system, "code": value}]}
    else:
        system = "allergyintolerance-clinical" if kind == "AllergyIntolerance" else "condition-clinical"
        content["clinicalStatus"] = {"coding": [{"system": _HL7 + system, "code": value}]}


def _text(content: Json, value: str) -> None:
    element = content.setdefault(_code_element(content["resourceType"]), {})
    element["text"] = value


def _identifier(system: str) -> Any:
    def word(content: Json, value: str) -> None:
        content.setdefault("identifier", []).append({"system": system, "value": value})

    return word


def _element(path: str) -> Any:
    def word(content: Json, value: str) -> None:
        *above, last = path.split(".")
        for step in above:
            content = content.setdefault(step, {})
        content[last] = value

    return word


def _coded(path: str) -> Any:
    def word(content: Json, value: str) -> None:
        content[path] = concept(value)

    return word


def _dose(content: Json, value: str) -> None:
    """Adds a dose: `2 tablet 3 a day`, or `2 tablet every 12 hours`."""
    amount, unit, *often = value.split()
    repeat: Json = {"frequency": 1, "period": int(often[1]), "periodUnit": "h"} if often[0] == "every" else {}
    quantity = {"value": float(amount), "unit": unit}
    step = {
        "text": value,
        "timing": {"repeat": repeat or _daily(often[0])},
        "doseAndRate": [{"doseQuantity": quantity}],
    }
    content.setdefault(_dosage(content), []).append(step)


def _often(content: Json, value: str) -> None:
    content[_dosage(content)] = [{"timing": {"repeat": _daily(value)}}]


def _daily(times: str) -> Json:
    return {"frequency": int(times), "period": 1, "periodUnit": "d"}


def _directions(content: Json, value: str) -> None:
    content[_dosage(content)] = [{"text": value}]


def _dosage(content: Json) -> str:
    return "dosage" if content["resourceType"] == "MedicationStatement" else "dosageInstruction"


def _quantity(value: str) -> Json:
    amount, _, unit = value.partition(" ")
    return {"value": float(amount), "unit": unit, "system": "http://unitsofmeasure.org", "code": UNITS[unit]}


def _value(content: Json, value: str) -> None:
    if value in CODES:
        content["valueCodeableConcept"] = concept(value)
    elif value[0].isdigit():
        content["valueQuantity"] = _quantity(value)
    else:
        content["valueString"] = value


def _component(content: Json, value: str) -> None:
    name, _, amount = value.partition(" ")
    content.setdefault("component", []).append({"code": concept(name), "valueQuantity": _quantity(amount)})


def _reference(element: str) -> Any:
    def word(content: Json, value: str) -> None:
        content[element] = {"reference": value}

    return word


def _never(content: Json, value: str) -> None:
    content["doNotPerform"] = True


def _substance(content: Json, value: str) -> None:
    content.setdefault("reaction", []).append({"substance": concept(value)})


def _severity(content: Json, value: str) -> None:
    content.setdefault("reaction", []).append({"severity": value})


def _category(content: Json, value: str) -> None:
    content["category"] = [value]


def _given(content: Json, value: str) -> None:
    url = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-VaccinationProcedure"
    content["extension"] = [{"url": url, "valueCodeableConcept": concept(value)}]


def _contained(content: Json, value: str) -> None:
    content["contained"] = [{"resourceType": "Medication", "id": "m", "code": concept(value)}]
    content["medicationReference"] = {"reference": "#m"}


def _qualified(content: Json, value: str) -> None:
    content["modifierExtension"] = [{"url": f"https://example.org/{value}", "valueBoolean": True}]


def _nothing(content: Json, value: str) -> None:
    """Adds nothing: `said` reads the detail `recorded`."""


_WORDS: dict[str, Any] = {
    "status": _status,
    "text": _text,
    **{name: _identifier(system) for name, system in IDENTIFIERS.items()},
    "onset": _element("onsetDateTime"),
    "began": _element("onsetPeriod.start"),
    "ended": _element("abatementDateTime"),
    "site": _coded("bodySite"),
    "site-words": _element("bodySite.text"),
    "criticality": _element("criticality"),
    "category": _category,
    "substance": _substance,
    "severity": _severity,
    "authored": _element("authoredOn"),
    "intent": _element("intent"),
    "from": _element("effectivePeriod.start"),
    "until": _element("effectivePeriod.end"),
    "asserted": _element("dateAsserted"),
    "dose": _dose,
    "then": _dose,
    "often": _often,
    "directions": _directions,
    "never": _never,
    "refers-to": _reference("medicationReference"),
    "contains": _contained,
    "day": _element("occurrenceDateTime"),
    "given": _given,
    "batch": _element("lotNumber"),
    "at": _element("effectiveDateTime"),
    "value": _value,
    "component": _component,
    "specimen": _reference("specimen"),
    "type": _coded("type"),
    "description": _element("description"),
    "modifier": _qualified,
    "recorded": _nothing,
}
