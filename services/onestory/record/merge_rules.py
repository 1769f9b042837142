"""The rules of merging, loaded: `schemas/merge/`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from onestory.record.domain.merge.rules import Rules
from onestory.record.domain.merge.shape import Code
from onestory.shared.contracts.files import folder
from onestory.shared.errors import Misconfigured

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
