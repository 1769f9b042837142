"""The rules of merging in clinical words: each case of `cases.yaml` states the merged record that it expects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.record.merge.words import said

from onestory.record.merge.engine import merge
from onestory.record.merge.model import FactConflict, MergedRecord
from onestory.record.merge.rules import merge_rules

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text())
KEYS = {"case", "said", "lines", "rule", "certainty", "conflicts", "beside", "withdrawn", "onset"}


def record(case: Mapping[str, Any]) -> MergedRecord:
    told = [said(name, words, place) for place, (name, words) in enumerate(case["said"].items())]
    return merge(told, merge_rules())


def shown(merged: MergedRecord) -> dict[str, Any]:
    """All that a case may expect of a record, in the form that cases use."""
    facts = merged.facts
    return {
        "lines": [" ".join(member.shared_id for member in fact.members) for fact in facts],
        "rule": " ".join(sorted({rule for fact in facts for rule in fact.rules})),
        "certainty": min((fact.certainty.value for fact in facts if fact.joins), default=""),
        "conflicts": sorted({_words(conflict) for fact in facts for conflict in fact.conflicts}),
        "beside": sorted({" ".join(sorted((fact.id, other))) for fact in facts for other in fact.related}),
        "withdrawn": sorted(each for fact in facts for each in fact.withdrawn),
        "onset": " ".join(filter(None, (fact.onset for fact in facts))),
    }


def _words(conflict: FactConflict) -> str:
    return f"{conflict.kind} {' | '.join(' '.join(side) for side in conflict.sides)}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_the_record_shows(case: Mapping[str, Any]) -> None:
    expected = {name: value for name, value in case.items() if name not in ("case", "said")}

    found = shown(record(case))

    assert {name: found[name] for name in expected} == {name: _plain(value) for name, value in expected.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_a_case_is_spelt_as_cases_are(case: Mapping[str, Any]) -> None:
    assert case.keys() <= KEYS
    assert sorted(" ".join(case["lines"]).split()) == sorted(set(case["said"]) - _judgements(case))


def test_there_are_cases_enough_and_no_two_have_one_name() -> None:
    names = [case["case"] for case in CASES]

    assert len(set(names)) == len(names) >= 80


def _judgements(case: Mapping[str, Any]) -> set[str]:
    return {name for name, words in case["said"].items() if words.split()[1] in ("same", "apart")}


def _plain(value: object) -> object:
    return value if isinstance(value, str | list) else str(value)
