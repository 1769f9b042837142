"""The hazard log follows its own rules and names tests that exist, and its page equals the files."""

from __future__ import annotations

import ast
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from docs.safety.generate import NO_TEST, NOT_REVIEWED, PAGE, TEMPLATE, Record, faults, named_tests, read, render

ROOT = Path(__file__).parents[2]
LOG = read()
IDS = """
    H1 H1a H1b H1c H2 H3 H3a H3b H4 H5 H5a H5b H6 H6a H6b H7 H7a H7b H7c H7d H7e H7f H7g H7h H7i H7j H7k H7l H8 H9
    H10 H11 H11a H11b H11c H12 H12a H12b H12c H12d H12e H12f H13 H14 H15 H20 H20a H21 H22 H23 H30 H30a H40 H41 H41a
    H42 H43 H44 H45 H46 H50 H51 H52 H60 H61 H62 H63 H64 H65 H66 H67 H70 H71 H72 H73 H74 H80 H81 H82 H83 H84 H90 H91
    H92 H93 H94 H100 H101 H102 H103 H110 H111 H112 H113 H114 H115 H116 H117 H118 H119 H120 H121 H122 H123 H124 H125 H126
    H160 H141 H201 H202 H203 H204
    H205 H206 H207 H208 H142 H143
    H161
    H162
"""
"""Every id that was ever given. No id may vanish; new ids are added here."""

SOUND: dict[str, Any] = {
    "id": "H1a",
    "hazard": "A fact is lost.",
    "clinical_effect": NOT_REVIEWED,
    "causes": ["A process fails."],
    "initial": {"severity": NOT_REVIEWED, "likelihood": NOT_REVIEWED},
    "controls": [{"kind": "design", "what": "It is kept.", "test": NO_TEST}],
    "residual": {"severity": NOT_REVIEWED, "likelihood": NOT_REVIEWED},
    "owner": "not assigned",
    "status": "controlled",
    "open": [],
    "deployer": [],
    "reviewed_by": NOT_REVIEWED,
    "reviewed_on": NOT_REVIEWED,
}
RATED = {"severity": "Major", "likelihood": "Very low"}
REVIEWED = {"reviewed_by": "Dr A. Example", "reviewed_on": date(2026, 11, 22)}


def changed(**fields: Any) -> Record:
    return {**SOUND, **fields}


def control(**fields: Any) -> Record:
    return changed(controls=[{"kind": "design", "what": "It is kept.", "test": NO_TEST, **fields}])


def test_the_page_is_what_the_files_say() -> None:
    assert PAGE.read_text() == render(LOG, TEMPLATE.read_text()), "Run `python docs/safety/generate.py`."


def test_no_id_vanishes_and_none_is_given_twice() -> None:
    given = IDS.split()

    assert sorted(hazard["id"] for hazard in LOG.hazards) == sorted(given)
    assert len(set(given)) == len(given)


def test_the_ratings_are_those_of_dcb0129() -> None:
    assert LOG.vocabulary.severity == ["Minor", "Significant", "Considerable", "Major", "Catastrophic"]
    assert LOG.vocabulary.likelihood == ["Very low", "Low", "Medium", "High", "Very high"]


@pytest.mark.parametrize("hazard", LOG.hazards, ids=lambda hazard: hazard["id"])
def test_a_hazard_holds_the_rules_of_the_log(hazard: Record) -> None:
    assert faults(hazard, LOG.vocabulary) == []


def test_every_test_that_a_control_names_exists() -> None:
    missing = [named for named in named_tests(LOG.hazards) if not is_there(named)]

    assert missing == [], "Name the tests that show these controls now."


@pytest.mark.parametrize("number", sorted({each for hazard in LOG.hazards for each in hazard.get("decisions", [])}))
def test_a_decision_that_a_hazard_names_exists(number: str) -> None:
    assert len(list((ROOT / "docs").rglob(f"decisions/{number}-*.md"))) == 1


@pytest.mark.parametrize(
    "hazard",
    [
        SOUND,
        changed(initial=RATED, residual=RATED, status="accepted", **REVIEWED),
        changed(status="open", open=["A point."]),
        control(test=["tests/contract/test_hazards.py"]),
    ],
)
def test_a_sound_record_has_no_fault(hazard: Record) -> None:
    assert faults(hazard, LOG.vocabulary) == []


@pytest.mark.parametrize(
    "hazard",
    [
        {name: value for name, value in SOUND.items() if name != "owner"},
        changed(severity="Minor"),
        *[changed(id=wrong) for wrong in ("1", "H", "h1", "H1ab", "H1A", "HA1")],
        *[changed(**{name: " "}) for name in ("hazard", "clinical_effect", "owner")],
        *[changed(**{name: wrong}) for name in ("causes", "open", "deployer") for wrong in ("A text.", [""], None)],
        changed(causes=[]),
        changed(status="fine"),
        changed(controls=[]),
        changed(open=["A point."]),
        changed(status="open"),
        control(kind="hope"),
        control(what=""),
        *[control(test=wrong) for wrong in ([], None, "tests/contract/test_hazards.py", [""])],
        changed(controls=[{"kind": "design", "what": "It is kept."}]),
        changed(initial=RATED),
        changed(residual={**RATED, "likelihood": NOT_REVIEWED}),
        changed(status="accepted"),
        changed(status="closed"),
        changed(reviewed_by="Dr A. Example"),
        changed(reviewed_on=date(2026, 11, 22)),
        changed(initial=RATED, reviewed_by="Dr A. Example", reviewed_on="last week"),
        changed(initial=RATED, reviewed_by=NOT_REVIEWED, reviewed_on=date(2026, 11, 22)),
        changed(initial={"severity": "Bad", "likelihood": "Low"}, **REVIEWED),
        changed(residual={"severity": "Minor", "likelihood": "Never"}, **REVIEWED),
        changed(residual={"severity": "Minor"}, **REVIEWED),
    ],
)
def test_a_record_that_breaks_a_rule_has_a_fault(hazard: Record) -> None:
    assert faults(hazard, LOG.vocabulary)


def test_a_test_that_does_not_exist_is_missed() -> None:
    here = "tests/contract/test_hazards.py"

    assert is_there(here)
    assert is_there(f"{here}::test_a_test_that_does_not_exist_is_missed")
    assert not is_there(f"{here}::test_of_something_else")
    assert not is_there(f"{here}::is_there")
    assert not is_there("tests/contract/test_nothing.py")
    assert not is_there("docs/safety/generate.py")


def is_there(named: str) -> bool:
    """Whether `named` is an existing test file or, with `::name`, a test at the top level of one."""
    path, _, name = named.partition("::")
    file = ROOT / path
    is_test_file = path.startswith("tests/") and file.name.startswith("test_") and file.suffix == ".py"
    return is_test_file and file.exists() and (not name or (name.startswith("test_") and name in functions(file)))


@cache
def functions(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text())
    return frozenset(each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
