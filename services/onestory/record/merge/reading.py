"""A statement as the rules of merging read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from onestory.record.merge.model import Statement
from onestory.record.merge.rules import Rules
from onestory.record.merge.values import Code, bare_codes, codes, objects, reference_id, text

_WITHDRAWN = "entered-in-error"
WITHDRAWING = ("status", "lifecycleStatus", "docStatus")
"""Where a resource says that it was entered in error: Goals and referenced documents have elements of their own."""
MODIFYING = frozenset(["modifierExtension", "implicitRules"])
"""Elements that may change what all of a resource means."""
_MEDICINES = ("MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration")
_COMPARED = {"AllergyIntolerance", "Condition", "Immunization", "Observation", *_MEDICINES}
_NO_CODES: frozenset[Code] = frozenset()
_CODE_ELEMENTS = ("code", "vaccineCode", "type")


class Reading(NamedTuple):
    """`place` is its place in the order of shared ids. `standing` is what its status says of the present; "": nothing.

    `negative`: it says that something is not so. `qualified`: a modifier that is not known here may change what it
    means, so its content is compared with nothing. `none_known`: the categories of which it says that there is
    nothing; None: it says no such thing.
    """

    place: int
    said: Statement
    source: tuple[str, str]
    content: Mapping[str, Any]
    codes: frozenset[Code]
    standing: str
    negative: bool
    withdrawn: bool
    qualified: bool
    none_known: frozenset[str] | None
    decision: str | None
    """Of a plan: what it decides, "" where no code says it; None: this is no plan."""

    @property
    def comparable(self) -> bool:
        """Whether what it says may be compared with what others say."""
        return not (self.withdrawn or self.qualified) and self.decision is None


class StatementReader:
    """Reads the statements of one person; the medicines that they refer to are among them."""

    def __init__(self, rules: Rules, said: Sequence[Statement]) -> None:
        self._rules = rules
        self._medications = {each.shared_id: each.content for each in said if each.resource_type == "Medication"}

    def read(self, place: int, said: Statement) -> Reading:
        rules, content, kind = self._rules, said.content, said.resource_type
        # Of all other types, codes are asked for only beside an identifier.
        coded = kind in _COMPARED or kind in rules.plan_elements or "identifier" in content
        found = self._codes(kind, content) if coded else _NO_CODES
        verification = bare_codes(content["verificationStatus"]) if "verificationStatus" in content else ()
        none_known = self._none_known(kind, found) if kind in rules.none_known else None
        return Reading(
            place,
            said,
            said.source,
            content,
            found,
            self._standing(kind, content),
            none_known is not None or (kind in rules.negations and self._negative(kind, content)),
            _WITHDRAWN in verification or any(content.get(name) == _WITHDRAWN for name in WITHDRAWING),
            not MODIFYING.isdisjoint(content),
            none_known,
            self._decision(kind, content, found) if kind in rules.plan_elements else None,
        )

    def _codes(self, kind: str, content: Mapping[str, Any]) -> frozenset[Code]:
        rules = self._rules
        concept = self._medicine(content) if kind in _MEDICINES else one_of(content, *_CODE_ELEMENTS)
        found = [code for code in codes(concept, rules.same_system) if rules.tells(code)]
        if kind == "AllergyIntolerance":
            found += [rules.substances[code] for code in found if code in rules.substances]
        return frozenset(found)

    def _medicine(self, content: Mapping[str, Any]) -> object:
        """The medicine's CodeableConcept: said here, or by the Medication that is referred to, contained or not."""
        if "medicationCodeableConcept" in content:
            return content["medicationCodeableConcept"]
        target = reference_id(content.get("medicationReference"))
        if target.startswith("#"):
            held = (each for each in objects(content.get("contained")) if f"#{text(each.get('id'))}" == target)
            return next(held, {}).get("code")
        return self._medications.get(target, {}).get("code")

    def _standing(self, kind: str, content: Mapping[str, Any]) -> str:
        standing = self._rules.standing.get(kind)
        if standing is None:
            return ""
        if "clinicalStatus" in content:
            said = [standing[code] for code in bare_codes(content["clinicalStatus"]) if code in standing]
            return said[0] if said else ""
        return standing.get(text(content.get("status")), "")

    def _negative(self, kind: str, content: Mapping[str, Any]) -> bool:
        for element, values in self._rules.negations[kind].items():
            stated = content.get(element)
            said = [stated] if isinstance(stated, str | bool) else bare_codes(stated)
            if not values.isdisjoint(said):
                return True
        return False

    def _none_known(self, kind: str, found: frozenset[Code]) -> frozenset[str] | None:
        known = self._rules.none_known[kind]
        return next((known[code] for code in sorted(found) if code in known), None)

    def _decision(self, kind: str, content: Mapping[str, Any], found: frozenset[Code]) -> str | None:
        plans = self._rules.plans
        decisions = [plans[code] for code in found if code in plans]
        for element in self._rules.plan_elements[kind]:
            if element not in _CODE_ELEMENTS and element in content:
                said = codes(content[element], self._rules.same_system)
                decisions += [plans[code] for code in said if code in plans]
        return max(decisions) if decisions else None


def one_of(content: Mapping[str, Any], *names: str) -> object:
    """The first of these elements that is there: the choices of a `[x]` in FHIR."""
    for name in names:
        if name in content:
            return content[name]
    return None
