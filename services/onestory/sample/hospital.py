"""The hospital: a discharge summary as a document, ward observations, and results of several people in one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from random import Random

from onestory.sample import chance as sample_chance
from onestory.sample import codes as sample_codes
from onestory.sample import resources as sample_resources
from onestory.sample.chance import stream
from onestory.sample.network import HOSPITAL
from onestory.sample.people import Person
from onestory.sample.plans import flag, respect_form
from onestory.sample.resources import Case, Json, PublishedBundle, concept, narrative, organisation
from onestory.sample.staff import signed_by
from onestory.sample.statements import allergy, condition, encounter, measurement, taken
from onestory.sample.story import Story
from onestory.sample.voice import Voice, case, patient, requested, transact, voice


def hospital_submissions(person: Person, told: Story) -> Iterator[PublishedBundle]:
    chance = stream(person.seed, "hospital", person.index)
    speaker = voice(HOSPITAL, person)
    admitted = chance.randrange(64, 69)
    yield _ward_observations(speaker, admitted, chance)
    yield _discharge(voice(HOSPITAL, person, subject_as="entry"), told, admitted, chance)
    if "resuscitation" in person.troubles:
        at = sample_chance.moment(sample_chance.days_ago(50), chance)
        form = respect_form(speaker, "respect", at, chance)
        raised = flag(speaker, "respect", at, "respect", chance)
        yield transact(speaker, at, [form, raised], cases=[case(speaker, "resuscitation", form, "ReSPECT, no CPR")])


def results(people: Sequence[Person]) -> PublishedBundle:
    """One night's laboratory results of these people, in one batch."""
    chance = stream(people[-1].seed, "laboratory", people[-1].index)
    day = sample_chance.days_ago(chance.randrange(20, 60))
    at = sample_chance.moment(day, chance)
    entries = []
    for person in people:
        speaker = voice(HOSPITAL, person)
        for place, measure in enumerate(sample_codes.BLOOD_TESTS):
            result = measurement(speaker, f"laboratory-{place}", measure, day, at, chance)
            entries.append(requested(speaker, result))
    return sample_resources.submission(HOSPITAL, sample_resources.batch(HOSPITAL, at, entries))


def _ward_observations(speaker: Voice, admitted: int, chance: Random) -> PublishedBundle:
    resources: list[Json] = []
    for turn in range(2):
        day = sample_chance.days_ago(admitted - turn)
        recorded = sample_chance.moment(day, chance)
        for place, measure in enumerate((sample_codes.NEWS2, *sample_codes.VITAL_SIGNS)):
            resources.append(measurement(speaker, f"ward-{turn}-{place}", measure, day, recorded, chance))
    at = sample_chance.moment(sample_chance.days_ago(admitted - 2), chance)
    return transact(speaker, at, resources)


def _discharge(speaker: Voice, told: Story, admitted: int, chance: Random) -> PublishedBundle:
    day = sample_chance.days_ago(admitted - 3)
    at = sample_chance.moment(day, chance)
    conditions = [
        condition(speaker, f"problem-{place}", problem, at, text=f"{problem.code.display.upper()} (PMH)", status=status)
        for place, problem in enumerate(told.problems[:2])
        for status in ["resolved" if place == 0 and "conflict-condition" in speaker.person.troubles else ""]
    ]
    refuted = "conflict-allergy" in speaker.person.troubles
    allergies = [
        allergy(speaker, f"allergy-{place}", known, at, text=f"{known.code.display} - as per GP", refuted=refuted)
        for place, known in enumerate(told.allergies)
    ]
    disputed = _other_dose(told.medicines[0].times_a_day) if "conflict-dose" in speaker.person.troubles else 0
    medicines = [
        taken(speaker, f"medicine-{place}", medicine, at, times_a_day=disputed, text=f"{medicine.code.display} (TTO)")
        for place, medicine in enumerate(told.medicines[:3])
    ]
    stay = encounter(speaker, "stay", sample_chance.days_ago(admitted), at, kind=sample_codes.FACE_TO_FACE, ward=True)
    parts = {"Diagnoses": conditions, "Allergies and adverse reactions": allergies, "Medications": medicines}
    letter = _letter(speaker, at, parts)
    entries = [
        sample_resources.entry(speaker.address_of(resource), resource)
        for resource in (letter, patient(speaker, at), stay, *conditions, *allergies, *medicines)
    ]
    cases = list(_cases(speaker, conditions[0], allergies[0], medicines[0]))
    return sample_resources.submission(HOSPITAL, sample_resources.document(HOSPITAL, at, entries), cases)


def _other_dose(times_a_day: int) -> int:
    return 2 if times_a_day == 1 else 1


def _letter(speaker: Voice, at: datetime, parts: dict[str, list[Json]]) -> Json:
    said = "Admitted with shortness of breath. Treated, mobilised with physiotherapy, discharged home. GP to review."
    sections = [
        {"title": title, "text": narrative(title), "entry": [{"reference": speaker.address_of(part)} for part in found]}
        for title, found in parts.items()
    ]
    fields = {
        "text": narrative(said),
        "status": "final",
        "type": concept(sample_codes.DISCHARGE_SUMMARY),
        "subject": speaker.subject,
        "encounter": speaker.reference("Encounter", "stay"),
        "date": speaker.instant(at),
        "author": [signed_by(speaker.source)],
        "custodian": organisation(speaker.source),
        "title": "Discharge summary",
        "section": [{"title": "Clinical summary", "text": narrative(said)}, *sections],
    }
    return speaker.resource("Composition", "discharge", at, fields)


def _cases(speaker: Voice, problem: Json, known: Json, medicine: Json) -> Iterator[Case]:
    yield case(speaker, "same-fact", problem, "the practice states the same condition")
    shown = {
        "conflict-condition": (problem, "resolved here, active at the practice"),
        "conflict-allergy": (known, "refuted here, active at the practice"),
        "conflict-dose": (medicine, "taken at another dose than the practice prescribes"),
    }
    for trouble, (resource, note) in shown.items():
        if trouble in speaker.person.troubles:
            yield case(speaker, trouble, resource, note)
