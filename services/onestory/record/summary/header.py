"""Writes the head of a summary: who the person is, where they live, their practice and their languages. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from onestory.record.person.sources_words import SourcesWord, words_in
from onestory.record.summary import dates as summary_dates
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import paragraph, strong, text
from onestory.record.summary.person import human_name, name_of_person
from onestory.shared.fhir.dates import NEVER, parse_date, uk_day, uk_midnight
from onestory.shared.fhir.json import concept_texts, objects_at, text_at, text_of, values_at
from onestory.shared.identity import ODS_CODE_SYSTEM

_PROTECTED = {"R", "V"}
_FORMER = {"old", "maiden"}
_SPOKEN_OF = {"phone", "sms", "email"}
_WEEKS_IN_DAYS, _MONTHS_IN_WORDS = 28, 24


def header(record: SummaryRecord) -> str:
    """XHTML: name, NHS number, birth date with age, sex, former names, address, phone, practice, languages.

    Languages that are the word of one source only have its name. A protected address is not shown.
    """
    return paragraph("<br/>".join([strong(text(name_of_person(record.patient))), *map(text, _lines(record))]))


def next_birthday(record: SummaryRecord) -> datetime:
    """When the age in the header changes; `NEVER` if no day of birth is known, or the person died."""
    born = _day_of_birth(record.patient)
    if born is None or _died(record.patient):
        return NEVER
    today = uk_day(record.at)
    months = _months(born, today)
    if months < _MONTHS_IN_WORDS:
        # A baby's age changes by the day, then by the month.
        return uk_midnight(today + timedelta(days=1))
    year = born.year + months // 12 + 1
    is_leap_day = (born.month, born.day) == (2, 29)
    return uk_midnight(date(year, 3, 1) if is_leap_day else born.replace(year=year))


def _lines(record: SummaryRecord) -> Iterator[str]:
    patient = record.patient
    own = text_of(patient, "id")
    known = len(own) == 10 and own.isdigit()
    number = f"NHS number {own[:3]} {own[3:6]} {own[6:]}" if known else "NHS number not known"
    gender = text_of(patient, "gender") or "gender not stated"
    yield ", ".join([number, _born(record), gender])
    if former := _former_names(record):
        yield f"Previously known as {'; '.join(former)}"
    called = (human_name(each) for each in objects_at(patient, "name") if _use(each) == "nickname")
    if nicknames := [name for name in called if name]:
        yield f"Likes to be called {', '.join(dict.fromkeys(nicknames))}"
    yield from _where(record)
    if practices := list(dict.fromkeys(_practices(record))):
        yield f"Registered practice: {'; '.join(practices)}"
    yield from _languages(patient)
    for word in words_in(patient):
        for line in _languages_in_word(word):
            yield f"{record.organisation_name(word.organisation)} says: {line}"


def _born(record: SummaryRecord) -> str:
    written = record.patient.get("birthDate")
    born = summary_dates.shown(written)
    if not born:
        return "date of birth not known"
    age = _age(record, written)
    return f"born {born} ({age})" if age else f"born {born}"


def _age(record: SummaryRecord, written: object) -> str:
    first = parse_date(written)
    if first is None:
        return ""
    ended = parse_date(record.patient.get("deceasedDateTime"))
    if ended is None and _died(record.patient):
        return ""
    until = (ended.uk_day if ended else None) or uk_day(record.at)
    day_of_birth = _day_of_birth(record.patient)
    words = _age_in_words(day_of_birth, until) if day_of_birth else ""
    if not day_of_birth:
        years = _months(uk_day(first.begin), until) // 12
        words = f"about {years} years" if years > 0 else ""
    return f"died aged {words}" if words and ended else words


def _age_in_words(born: date, until: date) -> str:
    months, days = _months(born, until), (until - born).days
    if days < 0:
        return ""
    if days < _WEEKS_IN_DAYS:
        return f"{days} day{'' if days == 1 else 's'}"
    if months < 3:
        return f"{days // 7} weeks"
    return f"{months} months" if months < _MONTHS_IN_WORDS else f"{months // 12} years"


def _months(born: date, until: date) -> int:
    return (until.year - born.year) * 12 + until.month - born.month - (until.day < born.day)


def _day_of_birth(patient: Mapping[str, Any]) -> date | None:
    written = text_of(patient, "birthDate")
    try:
        return date.fromisoformat(written) if len(written) == len("1944-02-11") else None
    except ValueError:
        return None


def _died(patient: Mapping[str, Any]) -> bool:
    return bool(patient.get("deceasedDateTime")) or patient.get("deceasedBoolean") is True


def _use(element: Mapping[str, Any]) -> str:
    return text_of(element, "use")


def _is_over(element: Mapping[str, Any], at: datetime) -> bool:
    end = parse_date(text_at(element, "period", "end"))
    return end is not None and end.end <= at


def _former_names(record: SummaryRecord) -> list[str]:
    names = objects_at(record.patient, "name")
    former = [human_name(each) for each in names if _use(each) in _FORMER or _is_over(each, record.at)]
    current = name_of_person(record.patient)
    return [name for name in dict.fromkeys(former) if name not in ("", current)]


def is_protected(patient: Mapping[str, Any]) -> bool:
    """Whether the Patient is labelled restricted: where the person lives is then told to nobody by a page."""
    return bool(_PROTECTED & set(values_at(patient, "meta", "security", "code")))


def _where(record: SummaryRecord) -> Iterator[str]:
    if is_protected(record.patient):
        yield "Address and phone are protected: they are not shown here"
        return
    for address in objects_at(record.patient, "address"):
        in_use = _use(address) not in ("old", "billing") and not _is_over(address, record.at)
        if in_use and (written := address_text(address)):
            yield f"{'Staying at' if _use(address) == 'temp' else 'Address'}: {written}"
    if reachable := contact_points(record.patient, record.at):
        yield f"Phone: {', '.join(reachable)}"


def address_text(address: Mapping[str, Any]) -> str:
    """An Address in one line."""
    parts = [*values_at(address, "line"), *[address.get(name) for name in ("city", "district", "postalCode")]]
    return text_of(address, "text") or ", ".join(part for part in parts if isinstance(part, str) and part)


def contact_points(resource: Mapping[str, Any], at: datetime) -> list[str]:
    """The phone numbers and mail addresses of a resource that are in use, by rank, with their use."""
    found = [
        each
        for each in objects_at(resource, "telecom")
        if _use(each) != "old" and not _is_over(each, at) and text_of(each, "system") in _SPOKEN_OF | {""}
    ]
    ranked = sorted(found, key=lambda each: each["rank"] if isinstance(each.get("rank"), int) else 99)
    words = [f"{value} ({_use(each)})" if _use(each) else value for each in ranked if (value := text_of(each, "value"))]
    return list(dict.fromkeys(words))


def _practices(record: SummaryRecord) -> Iterator[str]:
    for practitioner in objects_at(record.patient, "generalPractitioner"):
        if text_at(practitioner, "identifier", "system") == ODS_CODE_SYSTEM:
            yield record.organisation_name(text_at(practitioner, "identifier", "value"))
        elif found := record.lookup.find(record.patient, practitioner):
            yield name_of_person(found)
        elif display := text_of(practitioner, "display"):
            yield display


def _languages(patient: Mapping[str, Any]) -> Iterator[str]:
    if spoken := concept_texts(patient, "communication", "language"):
        yield f"Languages: {', '.join(spoken)}"
    for extension in objects_at(patient, "extension"):
        if text_of(extension, "url").endswith("interpreterRequired") and extension.get("valueBoolean") is True:
            yield "Interpreter required"


def _languages_in_word(word: SourcesWord) -> Iterator[str]:
    if word.element == "communication":
        languages = [part for part in objects_at([*word.values], "extension") if text_of(part, "url") == "language"]
        if spoken := concept_texts(languages, "valueCodeableConcept"):
            yield f"Languages: {', '.join(spoken)}"
    if word.element == "extension":
        for value in word.values:
            url, *others = objects_at(value, "extension")
            is_interpreter = text_of(url, "valueUri").endswith("interpreterRequired")
            if is_interpreter and others and others[0].get("valueBoolean") is True:
                yield "Interpreter required"
