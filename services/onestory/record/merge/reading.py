"""Reads a statement once into the values that all merge rules compare: codes, phase, negation, plan decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from onestory.record.medicines.names import present_code
from onestory.record.merge.model import Statement
from onestory.record.merge.qualifiers import RULED_OUT, qualifier_of
from onestory.record.merge.rules import MergeRules
from onestory.record.merge.values import bare_codes, codes
from onestory.shared.fhir.json import Code, text

WITHDRAWN = "entered-in-error"
WITHDRAWAL_ELEMENTS = ("status", "lifecycleStatus", "docStatus")
"""Elements that can say `entered-in-error`. Goal and DocumentReference have elements of their own."""
MODIFIER_ELEMENTS = frozenset(["modifierExtension", "implicitRules"])
"""Elements that can change the meaning of the whole resource."""
_MEDICINES = ("MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration")
_COMPARED = {
    "AllergyIntolerance",
    "Condition",
    "DiagnosticReport",
    "Immunization",
    "Observation",
    "Procedure",
    *_MEDICINES,
}
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
            WITHDRAWN in verification or any(content.get(name) == WITHDRAWN for name in WITHDRAWAL_ELEMENTS),
            not MODIFIER_ELEMENTS.isdisjoint(content),
            none_known,
            self._plan_decision(resource_type, content, found_codes) if resource_type in rules.plan_elements else None,
            qualifier,
        )

    def _codes(self, resource_type: str, content: Mapping[str, Any]) -> frozenset[Code]:
        rules = self._rules
        elements = ("medicationCodeableConcept",) if resource_type in _MEDICINES else _CODE_ELEMENTS
        stated = codes(first_present(content, *elements), rules.system_aliases)
        found_codes = [code for code in stated if rules.is_specific(code)]
        if resource_type in _MEDICINES:
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
        return by_status.get(text(content.get("status")), "")

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
        return max(decisions) if decisions else None


def first_present(content: Mapping[str, Any], *names: str) -> object:
    """The first of these elements that the resource has: one choice of a FHIR `[x]` element. None if it has none."""
    for name in names:
        if name in content:
            return content[name]
    return None
