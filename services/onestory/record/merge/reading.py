"""Reads a statement once into the values that all merge rules compare: codes, phase, negation, plan decision.

The words that make a plan, and its decision, are those of `schemas/merge/plan-words.yaml`. A code counts before words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.medicines.names import present_code
from onestory.record.medicines.own_stops import COMPLETED, PAUSED, own_stop
from onestory.record.merge.answers import MESSAGE, QUESTIONNAIRE, Answer, decision_of_answer, decisions_among
from onestory.record.merge.model import Statement
from onestory.record.merge.qualifiers import RULED_OUT, qualifier_of
from onestory.record.merge.rules import MergeRules
from onestory.record.merge.values import bare_codes, codes
from onestory.record.text_cache import cache_texts
from onestory.shared.fhir.json import Code, codes_of, concept_text, concept_texts, text, values_at
from onestory.shared.fhir.resource import NOTHING, CodedConcept, concept_at, read_once

WITHDRAWN = "entered-in-error"
MODIFIER_ELEMENTS = frozenset(["modifierExtension", "implicitRules"])
"""Elements that can change the meaning of the whole resource."""
MEDICINE_TYPES = ("MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration")
_COMPARED = {
    "AllergyIntolerance",
    "Condition",
    "DiagnosticReport",
    "Immunization",
    "Observation",
    "Procedure",
    *MEDICINE_TYPES,
}
_NOT_ORDERED = frozenset(["proposal", "option"])
"""Intents of what somebody suggests: nothing of it goes on."""
_NO_CODES: frozenset[Code] = frozenset()
_CODE_ELEMENTS = ("code", "vaccineCode", "type")


class Reading(NamedTuple):
    """One statement with the values that the merge rules compare.

    `ordinal` is its position in the list of statements, which is sorted by shared id. `phase` is `current`, `paused`,
    `completed` or `stopped`; "" if the status names none. `negative`: the statement denies something.
    `has_modifier`: an unknown modifier may change its meaning, so its content is compared with nothing. `none_known`:
    the categories in which it states that nothing is known; None if it states no such thing. `plan_decision`: the
    decision of an emergency plan, "" if no code gives it; None if this is no plan. `qualifier`: what qualifies the
    statement, such as `family-history` (see `qualifiers.py`); "" if nothing does.
    """

    ordinal: int
    statement: Statement
    source: tuple[str, str]
    content: Mapping[str, Any]
    codes: frozenset[Code]
    phase: str
    negative: bool
    withdrawn: bool
    has_modifier: bool
    none_known: frozenset[str] | None
    plan_decision: str | None
    qualifier: str = ""

    @property
    def comparable(self) -> bool:
        """Whether the rules may compare its content with that of other statements."""
        return not (self.withdrawn or self.has_modifier) and self.plan_decision is None


class StatementReader:
    """Reads statements by the merge rules."""

    def __init__(self, rules: MergeRules) -> None:
        self._rules = rules

    def read(self, ordinal: int, statement: Statement) -> Reading:
        """The reading of one statement, whose position in the sorted list is `ordinal`."""
        rules, content, resource_type = self._rules, statement.content, statement.resource_type
        # Other types need their codes only when an identifier is compared.
        coded = resource_type in _COMPARED or resource_type in rules.plan_elements or "identifier" in content
        found_codes = self._codes(resource_type, content) if coded else _NO_CODES
        verification = bare_codes(content["verificationStatus"]) if "verificationStatus" in content else ()
        none_known = self._none_known(resource_type, found_codes) if resource_type in rules.none_known else None
        # "None known" is a statement of its own, whatever its words.
        qualifier = qualifier_of(resource_type, content) if none_known is None else ""
        denied = none_known is not None or qualifier == RULED_OUT
        return Reading(
            ordinal,
            statement,
            statement.source,
            content,
            found_codes,
            self._phase(resource_type, content),
            denied or (resource_type in rules.negations and self._negative(resource_type, content)),
            WITHDRAWN in verification or is_withdrawn(content),
            not MODIFIER_ELEMENTS.isdisjoint(content),
            none_known,
            self._plan_decision(resource_type, content, found_codes) if resource_type in rules.plan_elements else None,
            qualifier,
        )

    def _codes(self, resource_type: str, content: Mapping[str, Any]) -> frozenset[Code]:
        rules = self._rules
        elements = ("medicationCodeableConcept",) if resource_type in MEDICINE_TYPES else _CODE_ELEMENTS
        concept = NOTHING
        for element in elements:
            if element in content:
                concept = concept_at(content, element)
                break
        aliases = rules.system_aliases
        # A code without a system cannot join two statements.
        stated = [(aliases.get(system, system), code) for system, code in concept.codes if system and code]
        found_codes = [code for code in stated if rules.is_specific(code)]
        if resource_type in MEDICINE_TYPES:
            found_codes = [present_code(code) for code in found_codes]
        if resource_type == "AllergyIntolerance":
            found_codes = [rules.substances.get(code, code) for code in found_codes]
        return frozenset(found_codes)

    def _phase(self, resource_type: str, content: Mapping[str, Any]) -> str:
        by_status = self._rules.phases.get(resource_type)
        if by_status is None:
            return ""
        if "clinicalStatus" in content:
            phases = [by_status[code] for code in bare_codes(content["clinicalStatus"]) if code in by_status]
            return phases[0] if phases else ""
        if text(content.get("intent")) in _NOT_ORDERED:
            return ""
        phase = by_status.get(text(content.get("status")), "")
        if resource_type in MEDICINE_TYPES and (stop := own_stop(content)):
            return {PAUSED: "paused", COMPLETED: "completed"}.get(stop.status, "stopped")
        return phase

    def _negative(self, resource_type: str, content: Mapping[str, Any]) -> bool:
        for element, values in self._rules.negations[resource_type].items():
            stated = content.get(element)
            values_stated = [stated] if isinstance(stated, str | bool) else bare_codes(stated)
            if not values.isdisjoint(values_stated):
                return True
        return False

    def _none_known(self, resource_type: str, found_codes: frozenset[Code]) -> frozenset[str] | None:
        known = self._rules.none_known[resource_type]
        return next((known[code] for code in sorted(found_codes) if code in known), None)

    def _plan_decision(
        self, resource_type: str, content: Mapping[str, Any], found_codes: frozenset[Code]
    ) -> str | None:
        plans = self._rules.plans
        decisions = [plans[code] for code in found_codes if code in plans]
        for element in self._rules.plan_elements[resource_type]:
            if element not in _CODE_ELEMENTS and element in content:
                element_codes = codes(content[element], self._rules.system_aliases)
                decisions += [plans[code] for code in element_codes if code in plans]
        if (not_performed := not_performed_decision(content)) is not None:
            return not_performed
        if not decisions and not is_plan_by_words(resource_type, content):
            return None
        return max(decisions, default="") or worded_decision(content)


def is_withdrawn(content: Mapping[str, Any]) -> bool:
    """Whether a status of the resource says that it was entered in error.

    Goal and DocumentReference have elements of their own for it.
    """
    return WITHDRAWN in (content.get("status"), content.get("lifecycleStatus"), content.get("docStatus"))


def first_present(content: Mapping[str, Any], *names: str) -> object:
    """The first of these elements that the resource has: one choice of a FHIR `[x]` element. None if it has none."""
    for name in names:
        if name in content:
            return content[name]
    return None


UNCLEAR = "unclear"
_SAID = frozenset([MESSAGE, QUESTIONNAIRE])
_TITLED = frozenset(["CarePlan", "Composition", "Consent", "DocumentReference", "Flag", "ServiceRequest"])
_CONCEPTS = ("code", "type", "category", "description", "valueCodeableConcept")
_TEXTS = (("title",), ("content", "attachment", "title"))
_LONG_TEXTS = (
    ("description",),
    ("note", "text"),
    ("activity", "detail", "description"),
    ("section", "text", "div"),
    ("text", "div"),
)
_LINKS = r"(?:['\u2019]?s)?(?: (?:has|had|have|is|was|with|who|a|an|valid|own|in place)(?![a-z0-9]))*+ "
"""Words between another person and the decision that is theirs."""
_MARKUP = re.compile(r"<[^<>]*+>")


class PlanWords(NamedTuple):
    """The expressions of the file: decisions in order, what was only talked about, titles, orders not to treat."""

    decisions: tuple[tuple[str, re.Pattern[str]], ...]
    talked_about: re.Pattern[str]
    of_others: re.Pattern[str]
    titles: re.Pattern[str]
    not_performed: Mapping[Code, str]


@clinical_table
def plan_words() -> PlanWords:
    """The words, read once from the file."""
    table = read_clinical_data("merge/plan-words")
    titles = words_pattern(table["titles"])
    decisions = words_pattern(word for group in table["decisions"] for word in group["words"])
    return PlanWords(
        tuple((group["decision"], words_pattern(group["words"])) for group in table["decisions"]),
        re.compile(
            rf"{words_pattern(table['before']).pattern}(?: [a-z]++){{0,3}}? "
            rf"{decisions.pattern}"
        ),
        re.compile(rf"{words_pattern(table['others']).pattern}{_LINKS}(?:{decisions.pattern}|{titles.pattern})"),
        titles,
        {(each["system"], each["code"]): each["decision"] for each in table["not-performed"]},
    )


def words_pattern(words: Iterable[str]) -> re.Pattern[str]:
    """An expression that finds any of these words as whole words in a text of `small_letters`."""
    longest_first = sorted(words, key=lambda each: (-len(each), each))
    return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(map(re.escape, longest_first))})(?![a-z0-9])")


def small_letters(value: str) -> str:
    """A text without markup in small letters with single spaces, as words are looked for."""
    return " ".join(_MARKUP.sub(" ", value).casefold().split())


@cache_texts(4096)
def decision_in(value: str) -> str:
    """The decision about resuscitation that a text names: "" if it names none, `UNCLEAR` if it only speaks of one."""
    words = plan_words()
    letters, talked_about = words.talked_about.subn(" ", _own_letters(value))
    found = next((decision for decision, pattern in words.decisions if pattern.search(letters)), "")
    return found or (UNCLEAR if talked_about else "")


@cache_texts(16384)
def names_plan(value: str) -> bool:
    """Whether a text is the title of a plan, or names a decision."""
    return plan_words().titles.search(_own_letters(value)) is not None or bool(decision_in(value))


def _own_letters(value: str) -> str:
    """A text in small letters without the decisions of other people, such as "husband has DNACPR"."""
    letters = small_letters(value)
    return plan_words().of_others.sub(" ", letters) if " " in letters else letters


def titled_plan(content: Mapping[str, Any]) -> str:
    """The first of the words for titles that the name or title of a plan has; "" if it has none."""
    found = (plan_words().titles.search(small_letters(value)) for value in _texts(content, long=False))
    return next((each.group() for each in found if each), "")


def not_performed_decision(content: Mapping[str, Any]) -> str | None:
    """The decision of an order not to do something; "" for other treatments. None if this is no such order."""
    if content.get("doNotPerform") is not True:
        return None
    known = plan_words().not_performed
    return next((known[code] for code in sorted(codes_of(content, "code")) if code in known), "")


def worded_decision(content: Mapping[str, Any]) -> str:
    """The decision in the name, title, description, notes or activities of a plan.

    "" if they name none, or if they contradict each other. Of answers and messages only what they decide counts.
    """
    if content.get("resourceType") in _SAID:
        decided = {decision for _, decision in answered(content)} - {UNCLEAR, ""}
        return decided.pop() if len(decided) == 1 else ""
    if content.get("resourceType") == "Observation" and (observed := _observed_decision(content)) is not None:
        return observed
    found = {decision for value in _texts(content, long=True) if (decision := decision_in(value))} - {UNCLEAR}
    return found.pop() if len(found) == 1 else ""


def _observed_decision(content: Mapping[str, Any]) -> str | None:
    """What an Observation decides by its value in words, which answers its name; None if it has no such value."""
    value = text(content.get("valueString")) or concept_text(content.get("valueCodeableConcept"))
    if not value:
        return None
    asked = next(filter(None, map(decision_in, concept_texts(content, "code"))), "")
    return decision_of_answer(asked, decision_in(value), value)


def answered(content: Mapping[str, Any]) -> list[tuple[Answer, str]]:
    """The answers or messages about resuscitation or a plan, each with its decision."""
    return list(decisions_among(content, decision_in, names_plan))


def is_plan_by_words(resource_type: str, content: Mapping[str, Any]) -> bool:
    """Whether the name or title of a resource makes it a plan."""
    if resource_type in _SAID:
        return bool(answered(content))
    if "valueString" in content and decision_in(text(content["valueString"])) not in ("", UNCLEAR):
        return True
    for element in _CONCEPTS:
        if element in content and _names_plan(concept_at(content, element)):
            return True
    return resource_type in _TITLED and any(map(names_plan, _titles(content)))


@read_once
def _names_plan(concept: CodedConcept) -> bool:
    return any(map(names_plan, concept.texts))


def _texts(content: Mapping[str, Any], *, long: bool) -> Iterator[str]:
    for element in _CONCEPTS:
        yield from concept_at(content, element).texts
    yield from _titles(content)
    if long:
        yield from _strings(content, _LONG_TEXTS)


def _titles(content: Mapping[str, Any]) -> Iterator[str]:
    return _strings(content, _TEXTS)


def _strings(content: Mapping[str, Any], paths: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for path in paths:
        if path[0] in content:
            yield from (found for found in values_at(content, *path) if isinstance(found, str))
