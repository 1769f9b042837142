"""What merging has to know of codes, identifiers and statuses: reviewed data, `schemas/merge/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from onestory.record.merge.values import Code
from onestory.shared.errors import Misconfigured
from onestory.shared.kafka.schemas import folder


@dataclass(frozen=True, slots=True)
class Rules:
    """The data of `schemas/merge/`; each file says what it is for.

    `unique`: identifier systems whose values name one thing, with the types for which they do; None: for all.
    `same_system`: another name of a code system to the one used here. `negations`: for a type, its elements and the
    values that turn a statement into its opposite. `none_known`: for a type, codes that say that there is none, with
    the categories they speak of; none: all. `substances`: an allergy's code to the code of its substance.
    `plan_elements`: where a type says that it is a plan; `plans`: codes of plans, with the decision in them, or "".
    `standing`: for a type, what a status says of the present: current, paused, completed or stopped. `sides`: a
    word to the side of the body that it names. `empty_systems`, `empty_codes`: codes that say nothing of their own.
    """

    unique: Mapping[str, frozenset[str] | None]
    same_system: Mapping[str, str]
    negations: Mapping[str, Mapping[str, frozenset[object]]]
    none_known: Mapping[str, Mapping[Code, frozenset[str]]]
    substances: Mapping[Code, Code]
    plan_elements: Mapping[str, tuple[str, ...]]
    plans: Mapping[Code, str]
    standing: Mapping[str, Mapping[str, str]]
    sides: Mapping[str, str]
    empty_systems: frozenset[str]
    empty_codes: frozenset[Code]

    def tells(self, code: Code) -> bool:
        """Whether a code says something of its own."""
        return code not in self.empty_codes and code[0] not in self.empty_systems


# The rules of merging, loaded: `schemas/merge/`.

SNOMED = "http://snomed.info/sct"


@cache
def merge_rules() -> Rules:
    """The rules, read once. Raises `Misconfigured` when a file does not say what merging needs."""
    try:
        plans, empty = _read("plans"), _read("empty-codes")
        return Rules(
            unique={each["system"]: _types(each) for each in _read("identifiers")},
            same_system={name: each["system"] for each in _read("code-systems") for name in each["same"]},
            negations={
                kind: {element: frozenset(values) for element, values in elements.items()}
                for kind, elements in _read("negations").items()
            },
            none_known={
                kind: {_code(each): frozenset(each.get("of", ())) for each in codes}
                for kind, codes in _read("none-known").items()
            },
            substances={(SNOMED, each["finding"]): (SNOMED, each["substance"]) for each in _read("allergens")},
            plan_elements={kind: tuple(elements) for kind, elements in plans["elements"].items()},
            plans={_code(each): each.get("decision", "") for each in plans["codes"]},
            standing={kind: _by_value(groups) for kind, groups in _read("statuses").items()},
            empty_systems=frozenset(empty["systems"]),
            empty_codes=frozenset(_code(each) for each in empty["codes"]),
            sides=_by_value(_read("laterality")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Misconfigured(f"schemas/merge cannot be used: {error!r}.") from error


def _read(name: str) -> Any:
    return yaml.safe_load((folder() / "merge" / f"{name}.yaml").read_text())


def _types(each: Mapping[str, Any]) -> frozenset[str] | None:
    return frozenset(each["types"]) if "types" in each else None


def _code(each: Mapping[str, Any]) -> Code:
    return each["system"], each["code"]


def _by_value(groups: Mapping[str, list[str]]) -> dict[str, str]:
    return {value: name for name, values in groups.items() for value in values}
