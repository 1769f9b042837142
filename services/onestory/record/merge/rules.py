"""The merge rules that are data: code systems, identifiers, negations and statuses from `schemas/merge/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.allergens import known_allergens
from onestory.record.merge.units import Units, units_of
from onestory.record.merge.vaccines import Vaccines, vaccines_of
from onestory.shared.errors import Misconfigured
from onestory.shared.fhir.json import Code


@dataclass(frozen=True, slots=True)
class MergeRules:
    """The content of `schemas/merge/`; each file there explains itself.

    `unique_systems`: identifier systems whose values name one thing, with the resource types for which they do (None:
    all types). `system_aliases`: other names of a code system, to the name that is used here. `negations`: for a type,
    its elements and the values that turn a statement into its opposite. `none_known`: for a type, the codes that mean
    "none known", with the categories that they cover (empty: all). `substances`: the code of an allergy to the code of
    its substance. `plan_elements`: for a type, the elements that can mark it as an emergency plan. `plans`: codes of
    plans, with the decision that each contains, or "". `phases`: for a type, the phase that each status means:
    current, paused, completed or stopped. `sides`: a word to the side of the body that it names. `empty_systems`,
    `empty_codes`: codes that have no meaning of their own. `units`: the units that can be compared. `vaccines`: what
    vaccinations protect against.
    """

    unique_systems: Mapping[str, frozenset[str] | None]
    system_aliases: Mapping[str, str]
    negations: Mapping[str, Mapping[str, frozenset[object]]]
    none_known: Mapping[str, Mapping[Code, frozenset[str]]]
    substances: Mapping[Code, Code]
    plan_elements: Mapping[str, tuple[str, ...]]
    plans: Mapping[Code, str]
    phases: Mapping[str, Mapping[str, str]]
    sides: Mapping[str, str]
    empty_systems: frozenset[str]
    empty_codes: frozenset[Code]
    units: Units
    vaccines: Vaccines

    def is_specific(self, code: Code) -> bool:
        """Whether a code has a meaning of its own."""
        return code not in self.empty_codes and code[0] not in self.empty_systems


@clinical_table
def merge_rules() -> MergeRules:
    """The rules, read once from the files. Raises `Misconfigured` when a file lacks something that merging needs."""
    try:
        plans, empty = _read("plans"), _read("empty-codes")
        return MergeRules(
            unique_systems={each["system"]: _types(each) for each in _read("identifiers")},
            system_aliases={name: each["system"] for each in _read("code-systems") for name in each["same"]},
            negations={
                kind: {element: frozenset(values) for element, values in elements.items()}
                for kind, elements in _read("negations").items()
            },
            none_known={
                kind: {_code(each): frozenset(each.get("of", ())) for each in codes}
                for kind, codes in _read("none-known").items()
            },
            substances=known_allergens().same_codes,
            plan_elements={kind: tuple(elements) for kind, elements in plans["elements"].items()},
            plans={_code(each): each.get("decision", "") for each in plans["codes"]},
            phases={kind: _by_value(groups) for kind, groups in _read("statuses").items()},
            empty_systems=frozenset(empty["systems"]),
            empty_codes=frozenset(_code(each) for each in empty["codes"]),
            sides=_by_value(_read("laterality")),
            units=units_of(_read("units")),
            vaccines=vaccines_of(_read("vaccines")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Misconfigured(f"schemas/merge cannot be used: {error!r}.") from error


def _read(name: str) -> Any:
    return read_clinical_data(f"merge/{name}")


def _types(each: Mapping[str, Any]) -> frozenset[str] | None:
    return frozenset(each["types"]) if "types" in each else None


def _code(each: Mapping[str, Any]) -> Code:
    return each["system"], each["code"]


def _by_value(groups: Mapping[str, list[str]]) -> dict[str, str]:
    return {value: name for name, values in groups.items() for value in values}
