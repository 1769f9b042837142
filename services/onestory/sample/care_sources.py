"""Submissions of the community, mental health, social care and hospital sources.

They repeat a part of the practice's facts in other words, and add facts of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from random import Random

from onestory.sample import codes
from onestory.sample.chance import days_ago, random_stream, working_time
from onestory.sample.directory import staff_reference
from onestory.sample.network import COMMUNITY, HOSPITAL, MENTAL_HEALTH, SOCIAL_CARE
from onestory.sample.people import Person
from onestory.sample.resources import (
    Json,
    SampleSubmission,
    TroubleCase,
    batch_bundle,
    concept,
    document_bundle,
    make_submission,
    narrative,
    organisation,
    resource_entry,
)
from onestory.sample.statements import (
    about_me,
    allergy,
    blood_pressure,
    care_plan,
    care_team,
    condition,
    encounter,
    flag,
    immunisation,
    medication_statement,
    random_measurement,
    service_request,
    weight,
)
from onestory.sample.story import Problem, Story
from onestory.sample.writer import (
    SourceWriter,
    collection_submission,
    patient_resource,
    request_entry,
    transaction_submission,
    trouble_case,
    writer_for,
)


def community_submissions(person: Person, story: Story) -> Iterator[SampleSubmission]:
    """Community nursing and health visiting: a part of the practice's facts, stated in other words.

    The team learns a new NHS number late, so it files under the superseded one.
    """
    writer = writer_for(COMMUNITY, person, nhs_number=person.superseded or person.nhs_number)
    chance = random_stream(person.seed, "community", person.index)
    yield _assessment(writer, story, chance)
    if examples := list(_trouble_statements(writer, chance)):
        at = working_time(days_ago(40), chance)
        yield collection_submission(
            writer, at, [stated for stated, _ in examples], cases=[case for _, case in examples]
        )


def _assessment(writer: SourceWriter, story: Story, chance: Random) -> SampleSubmission:
    at = working_time(days_ago(chance.randrange(45, 60)), chance)
    resources: list[Json] = []
    cases: list[TroubleCase] = []
    for index, problem in enumerate(story.problems[:2]):
        text = f"{problem.code.display} (patient reported, on caseload)"
        resources.append(condition(writer, f"problem-{index}", problem, at, text=text))
    cases.append(trouble_case(writer, "same-fact", resources[0], "the practice states the same condition"))
    for index, fact in enumerate(story.allergies[:1]):
        resources.append(allergy(writer, f"allergy-{index}", fact, at, text=f"?{fact.code.display.lower()}"))
    for index, vaccination in enumerate(story.vaccinations[-1:]):
        resources.append(immunisation(writer, f"vaccine-{index}", vaccination, at))
    resources += _visits(writer, chance)
    if writer.person.age == "frail":
        resources.append(
            care_plan(writer, "plan", at, codes.CARE_PLAN, "District nursing plan: wound care twice weekly")
        )
        resources.append(care_team(writer, "team", at, "District nursing team"))
    return collection_submission(writer, at, resources, cases=cases)


def _visits(writer: SourceWriter, chance: Random) -> Iterator[Json]:
    for index in range(2):
        day = days_ago(chance.randrange(62, 120))
        recorded = working_time(day, chance)
        yield encounter(writer, f"visit-{index}", day, recorded, kind=codes.CONSULTATION)
        yield weight(writer, f"weight-{index}", day, recorded, chance)
        if writer.person.age != "child":
            yield blood_pressure(writer, f"pressure-{index}", day, recorded, chance)


def _trouble_statements(writer: SourceWriter, chance: Random) -> Iterator[tuple[Json, TroubleCase]]:
    """Statements that show the person's troubles, each with its example for the manifest."""
    at = working_time(days_ago(41), chance)
    troubles = writer.person.troubles
    if "about-me" in troubles:
        composition = about_me(writer, "about-me", at, chance)
        yield composition, trouble_case(writer, "about-me", composition, "the person's own words")
        adjustment = flag(writer, "adjustment", at, "communication-support", chance)
        yield adjustment, trouble_case(writer, "about-me", adjustment, "a reasonable adjustment")
    if "safeguarding" in troubles:
        protection = flag(writer, "protection", at, "child-protection", chance)
        yield protection, trouble_case(writer, "safeguarding", protection, "subject to a child protection plan")


_CRISIS = "In a crisis: call the 24-hour line first, then my sister. Do not send police. I calm down with music. 🎧"


def mental_health_submissions(person: Person, story: Story) -> Iterator[SampleSubmission]:
    """The mental health trust: few statements, most of them restricted."""
    chance = random_stream(person.seed, "mental-health", person.index)
    writer = writer_for(MENTAL_HEALTH, person)
    at = working_time(days_ago(chance.randrange(30, 62)), chance)
    onset = days_ago(chance.randrange(100, 1500) if person.age != "child" else 90)
    illness = Problem(chance.choice(codes.MENTAL_ILLNESS), onset)
    resources = [
        patient_resource(writer, at),
        condition(writer, "illness", illness, at, confidentiality=("R",)),
        care_plan(writer, "crisis", at, codes.CRISIS_PLAN, _CRISIS, confidentiality=("R",)),
        care_team(writer, "team", at, "Community mental health team"),
        *(
            medication_statement(writer, f"medicine-{index}", medicine, at)
            for index, medicine in enumerate(story.medicines[:2])
        ),
        *_reviews(writer, chance),
    ]
    restricted = list(_very_restricted(writer, chance))
    yield transaction_submission(
        writer, at, resources + [stated for stated, _ in restricted], cases=[case for _, case in restricted]
    )


def _reviews(writer: SourceWriter, chance: Random) -> Iterator[Json]:
    for index in range(3):
        day = days_ago(chance.randrange(64, 200))
        yield encounter(writer, f"review-{index}", day, working_time(day, chance), kind=codes.CONSULTATION)


def _very_restricted(writer: SourceWriter, chance: Random) -> Iterator[tuple[Json, TroubleCase]]:
    if "very-restricted" in writer.person.troubles:
        day = days_ago(chance.randrange(64, 300))
        problem = Problem(codes.ALCOHOL_DEPENDENCE, day)
        stated = condition(writer, "secret", problem, working_time(day, chance), confidentiality=("V",))
        yield stated, trouble_case(writer, "very-restricted", stated, "v3-Confidentiality V")


_PACKAGES = (
    "Four calls a day, two carers: personal care, meals, medicines prompt",
    "Two calls a day: breakfast and bedtime; day centre on Tuesdays",
    "Live-in carer; direct payment; key safe by the back door",
)


def social_care_submissions(person: Person, story: Story) -> Iterator[SampleSubmission]:
    """Adult social care: its resources have case numbers and no ids, so it publishes with conditional creates."""
    chance = random_stream(person.seed, "social-care", person.index)
    writer = writer_for(SOCIAL_CARE, person)
    at = working_time(days_ago(chance.randrange(30, 62)), chance)
    # One Bundle with a conditional reference and references to the entry: both name the same Patient.
    by_number = writer_for(SOCIAL_CARE, person, subject_form="conditional")
    plan = care_plan(writer, "package", at, codes.CARE_PLAN, chance.choice(_PACKAGES))
    isolation = next((problem for problem in story.problems if problem.code == codes.SOCIAL_ISOLATION), None)
    resources = [
        plan,
        care_team(writer, "team", at, "Locality social work team"),
        service_request(by_number, "assessment", at, codes.NEEDS_ASSESSMENT, "Care Act 2014 assessment of needs"),
        service_request(writer, "link-worker", at, codes.SOCIAL_PRESCRIBING, "Link worker: befriending"),
        condition(writer, "isolation", isolation or Problem(codes.SOCIAL_ISOLATION, at.date()), at, text="Lives alone"),
    ]
    cases = [trouble_case(writer, "care-package", plan, "known by its case number, without an id")]
    yield transaction_submission(writer, at, resources, cases=cases if "care-package" in person.troubles else ())


def hospital_submissions(person: Person, story: Story) -> Iterator[SampleSubmission]:
    """The hospital: ward observations, a discharge summary as a document, and for some a ReSPECT plan."""
    chance = random_stream(person.seed, "hospital", person.index)
    writer = writer_for(HOSPITAL, person)
    admitted = chance.randrange(64, 69)
    yield _ward_observations(writer, admitted, chance)
    yield _discharge(writer_for(HOSPITAL, person, subject_form="entry"), story, admitted, chance)
    if "resuscitation" in person.troubles:
        at = working_time(days_ago(50), chance)
        form = _respect_form(writer, "respect", at, chance)
        respect_flag = flag(writer, "respect", at, "respect", chance)
        yield transaction_submission(
            writer, at, [form, respect_flag], cases=[trouble_case(writer, "resuscitation", form, "ReSPECT, no CPR")]
        )


def laboratory_results(people: Sequence[Person]) -> SampleSubmission:
    """The laboratory results of these people in one batch Bundle, as a hospital sends them each night."""
    chance = random_stream(people[-1].seed, "laboratory", people[-1].index)
    day = days_ago(chance.randrange(20, 60))
    at = working_time(day, chance)
    entries = []
    for person in people:
        writer = writer_for(HOSPITAL, person)
        for index, measure in enumerate(codes.BLOOD_TESTS):
            result = random_measurement(writer, f"laboratory-{index}", measure, day, at, chance)
            entries.append(request_entry(writer, result))
    return make_submission(HOSPITAL, batch_bundle(HOSPITAL, at, entries))


def _ward_observations(writer: SourceWriter, admitted: int, chance: Random) -> SampleSubmission:
    resources: list[Json] = []
    for round_index in range(2):
        day = days_ago(admitted - round_index)
        recorded = working_time(day, chance)
        for index, measure in enumerate((codes.NEWS2, *codes.VITAL_SIGNS)):
            resources.append(random_measurement(writer, f"ward-{round_index}-{index}", measure, day, recorded, chance))
    at = working_time(days_ago(admitted - 2), chance)
    return transaction_submission(writer, at, resources)


def _discharge(writer: SourceWriter, story: Story, admitted: int, chance: Random) -> SampleSubmission:
    day = days_ago(admitted - 3)
    at = working_time(day, chance)
    conditions = [
        condition(writer, f"problem-{index}", problem, at, text=f"{problem.code.display.upper()} (PMH)", status=status)
        for index, problem in enumerate(story.problems[:2])
        for status in ["resolved" if index == 0 and "conflict-condition" in writer.person.troubles else ""]
    ]
    refuted = "conflict-allergy" in writer.person.troubles
    allergies = [
        allergy(writer, f"allergy-{index}", fact, at, text=f"{fact.code.display} - as per GP", refuted=refuted)
        for index, fact in enumerate(story.allergies)
    ]
    other_dose = _other_dose(story.medicines[0].times_a_day) if "conflict-dose" in writer.person.troubles else 0
    medicines = [
        medication_statement(
            writer, f"medicine-{index}", medicine, at, times_a_day=other_dose, text=f"{medicine.code.display} (TTO)"
        )
        for index, medicine in enumerate(story.medicines[:3])
    ]
    stay = encounter(writer, "stay", days_ago(admitted), at, kind=codes.FACE_TO_FACE, ward=True)
    parts = {"Diagnoses": conditions, "Allergies and adverse reactions": allergies, "Medications": medicines}
    letter = _letter(writer, at, parts)
    entries = [
        resource_entry(writer.resource_url(resource), resource)
        for resource in (letter, patient_resource(writer, at), stay, *conditions, *allergies, *medicines)
    ]
    cases = list(_cases(writer, conditions[0], allergies[0], medicines[0]))
    return make_submission(HOSPITAL, document_bundle(HOSPITAL, at, entries), cases)


def _other_dose(times_a_day: int) -> int:
    return 2 if times_a_day == 1 else 1


def _letter(writer: SourceWriter, at: datetime, parts: dict[str, list[Json]]) -> Json:
    text = "Admitted with shortness of breath. Treated, mobilised with physiotherapy, discharged home. GP to review."
    sections = [
        {
            "title": title,
            "text": narrative(title),
            "entry": [{"reference": writer.resource_url(resource)} for resource in resources],
        }
        for title, resources in parts.items()
    ]
    fields = {
        "text": narrative(text),
        "status": "final",
        "type": concept(codes.DISCHARGE_SUMMARY),
        "subject": writer.subject,
        "encounter": writer.reference("Encounter", "stay"),
        "date": writer.instant(at),
        "author": [staff_reference(writer.source)],
        "custodian": organisation(writer.source),
        "title": "Discharge summary",
        "section": [{"title": "Clinical summary", "text": narrative(text)}, *sections],
    }
    return writer.resource("Composition", "discharge", at, fields)


def _cases(writer: SourceWriter, problem: Json, intolerance: Json, medicine: Json) -> Iterator[TroubleCase]:
    yield trouble_case(writer, "same-fact", problem, "the practice states the same condition")
    cases = {
        "conflict-condition": (problem, "resolved here, active at the practice"),
        "conflict-allergy": (intolerance, "refuted here, active at the practice"),
        "conflict-dose": (medicine, "taken at another dose than the practice prescribes"),
    }
    for trouble, (resource, note) in cases.items():
        if trouble in writer.person.troubles:
            yield trouble_case(writer, trouble, resource, note)


def _respect_form(writer: SourceWriter, key: str, recorded: datetime, chance: Random) -> Json:
    """A DocumentReference to the signed ReSPECT form; the description has its decision."""
    url = f"https://{writer.source.system}.example.org/documents/{chance.getrandbits(40):010x}.pdf"
    fields = {
        "status": "current",
        "docStatus": "final",
        "type": concept(codes.RESPECT_FORM),
        "subject": writer.subject,
        "date": writer.instant(recorded),
        "author": [staff_reference(writer.source)],
        "custodian": organisation(writer.source),
        "description": "CPR attempts NOT recommended. Comfort and treatment of infection at home preferred.",
        "content": [{"attachment": {"contentType": "application/pdf", "url": url, "title": "ReSPECT form"}}],
    }
    return writer.resource("DocumentReference", key, recorded, fields)
