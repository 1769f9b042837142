"""Writes the content of a resource in the words of its source: names, statuses, notes; and sorts facts by date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.medicines.dmd import dmd_name
from onestory.record.merge.answers import MESSAGE, QUESTIONNAIRE, answers
from onestory.record.merge.model import Fact, Statement
from onestory.record.summary.clinical_dates import clinical_date
from onestory.record.summary.doses import doses
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.values import value_text
from onestory.shared.fhir.json import codes_of, concept_text, concept_texts, text_at, values_at
from onestory.shared.fhir.resource import read_once

_NAMES = ("code", "medicationCodeableConcept", "vaccineCode", "type", "category", "description")
NOT_NAMED = "(not named by its source)"
NO_MEDICINE_NAME = "Medicine not named by its source"
_USUAL = {"active", "confirmed", "final", "current"}
_STATUSES = ("clinicalStatus", "verificationStatus")


@read_once
def name_of(content: Mapping[str, Any]) -> str:
    """The name of what the resource is about; never empty."""
    found = next((name for element in _NAMES if element in content for name in concept_texts(content, element)), "")
    if found.isdigit() and (named := dmd_name(found)):
        return f"{named} (by its code {found} in dm+d)"
    if found.isdigit() and "medicationCodeableConcept" in content:
        return f"{NO_MEDICINE_NAME}: code {found}"
    found = found or text_at(content, "title") or text_at(content, "description") or _other_name(content)
    return _words_of_codes().get(found, found)


def medicine_name(record: SummaryRecord, statement: Statement) -> str:
    """The name of the medicine of a statement; never empty, and never digits alone."""
    name = name_of(statement.content)
    if not name.startswith(NO_MEDICINE_NAME):
        return name
    for code in sorted(codes_of(statement.content, "medicationCodeableConcept")):
        if other := record.named_medicine_codes.get(code):
            return f"{name_of(other.content)} (sent as code {code[1]} only; named by {record.organisation_of(other)})"
    return name


def medicine_name_of(record: SummaryRecord, fact: Fact) -> str:
    """The name of the medicine of the statement that is shown for a fact."""
    return medicine_name(record, record.shown(fact))


_OTHER_NAMES: Mapping[str, Sequence[tuple[str, ...]]] = {
    "Account": [("name",)],
    "AdverseEvent": [("event",)],
    "CommunicationRequest": [("payload", "contentString")],
    "DeviceRequest": [("codeCodeableConcept",)],
    "ImmunizationRecommendation": [("recommendation", "vaccineCode")],
    "Media": [("content", "title")],
    "NutritionOrder": [
        ("oralDiet", "type"),
        ("oralDiet", "texture", "modifier"),
        ("oralDiet", "fluidConsistencyType"),
        ("supplement", "type"),
        ("enteralFormula", "baseFormulaType"),
    ],
    "ResearchSubject": [("study", "display")],
    "SupplyDelivery": [("suppliedItem", "itemCodeableConcept")],
    "SupplyRequest": [("itemCodeableConcept",)],
    "VisionPrescription": [("lensSpecification", "product")],
}
"""Where resources of other types say what they are about, texts or concepts."""
_MAX_ANSWERS, _MAX_LENGTH = 3, 120


def _other_name(content: Mapping[str, Any]) -> str:
    kind = content.get("resourceType")
    if kind in (QUESTIONNAIRE, MESSAGE):
        said = "; ".join(str(each) for each in islice(answers(content), _MAX_ANSWERS))
        return (f"{said[:_MAX_LENGTH]}..." if len(said) > _MAX_LENGTH else said) or NOT_NAMED
    if kind == "ClinicalImpression":
        return "Clinical assessment"
    found: list[str] = []
    for path in _OTHER_NAMES.get(str(kind), ()):
        found += [text_at(content, *path)] if text_at(content, *path) else concept_texts(content, *path)
    return ", ".join(dict.fromkeys(found)) or NOT_NAMED


@clinical_table
def _words_of_codes() -> Mapping[str, str]:
    """The words of the codes of plans, for a source that gives the code only, such as `dnr`."""
    return {each["code"]: each["display"] for each in read_clinical_data("merge/plans")["codes"]}


def own_name(content: Mapping[str, Any]) -> str:
    """The name from the first three elements that can hold one; "" if they hold none."""
    return next((name for element in _NAMES[:3] if (name := concept_text(content.get(element)))), "")


def repeats(name: str, words: str) -> bool:
    """Whether the words stand in the name already, as whole words: `Safeguarding` in `Adult safeguarding concern`."""
    return f" {words.casefold()} " in f" {name.casefold()} "


def status_of(content: Mapping[str, Any]) -> str:
    """The statuses as the source gives them, such as `active, confirmed`, to tell two statements apart."""
    coded = [found for element in _STATUSES if (found := _status(content.get(element)))]
    plain = [text_at(content, "status")] if text_at(content, "status") else []
    negative = ["not to be given"] if content.get("doNotPerform") is True else []
    return ", ".join([*negative, *plain, *coded])


def unusual_status(content: Mapping[str, Any]) -> str:
    """The statuses that a reader must know, such as `On hold`; "" for `active`, `confirmed` and the like."""
    told = [each for each in status_of(content).split(", ") if each not in _USUAL]
    return ", ".join(each.replace("-", " ").capitalize() for each in told if each)


def short_text(content: Mapping[str, Any]) -> str:
    """A statement in a few words, to show next to one that contradicts it."""
    why = concept_texts(content, "statusReason")
    status = unusual_status(content) if content.get("resourceType") == "Observation" else status_of(content)
    parts = [name_of(content), status, *why, *doses(content), value_text(content)]
    return ", ".join(part for part in [*parts, text_at(content, "description")] if part)


def notes(content: Mapping[str, Any]) -> list[str]:
    """The free-text notes of the source."""
    return [found for found in values_at(content, "note", "text") if isinstance(found, str)]


def _status(concept: Any) -> str:
    return text_at(concept, "coding", "code") or concept_text(concept)


def omitted_remark(number: int, why: str) -> str:
    """A remark for facts that a section leaves out; `why` follows "that". "" if there are none."""
    return f"More is held: {number} that {why}. They are not shown here." if number else ""


def newest_first(record: SummaryRecord, facts: Iterable[Fact]) -> list[Fact]:
    """The facts sorted by the clinical date of the shown statement, newest first."""
    return sorted(facts, key=lambda fact: (-clinical_date(record.shown(fact)).begin.timestamp(), fact.id))


def newest_of_each_kind(record: SummaryRecord, newest: Sequence[Fact], most: int) -> list[Fact]:
    """At most `most` of the facts, in their order: the newest of each kind before the second of any kind.

    A hundred dialyses must not hide the one transplant before them.
    """
    before: Counter[object] = Counter()
    ranked = []
    for index, fact in enumerate(newest):
        kind = _kind(record.shown(fact).content)
        ranked.append((before[kind], index))
        before[kind] += 1
    return [newest[index] for index in sorted(index for _, index in sorted(ranked)[:most])]


def _kind(content: Mapping[str, Any]) -> object:
    codes = codes_of(content, "code") | codes_of(content, "vaccineCode")
    return min(codes) if codes else name_of(content).casefold()
