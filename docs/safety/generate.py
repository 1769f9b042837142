"""Writes docs/explanation/safety.md from the hazard records of this folder: `python docs/safety/generate.py`."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FOLDER = Path(__file__).parent
CLINICAL = FOLDER / "hazards.yaml"
GOVERNANCE = FOLDER / "governance-and-operations.yaml"
TEMPLATE = FOLDER / "template.md"
PAGE = FOLDER.parent / "explanation" / "safety.md"

NOT_REVIEWED = "not reviewed"
NOT_ASSIGNED = "not assigned"
NO_TEST = "none"
SIGNED = ("accepted", "closed")
"""The statuses that only a reviewer may give."""

_ID = re.compile(r"H[0-9]+[a-z]?")
_RATED = {"severity", "likelihood"}
_OPTIONAL = {"decisions"}
_FIELDS = {
    *("id", "hazard", "clinical_effect", "causes", "initial", "controls", "residual", "owner", "status", "open"),
    *("deployer", "reviewed_by", "reviewed_on"),
}

Record = Mapping[str, Any]


class Vocabulary(NamedTuple):
    """The words of the log: `kind` and `status` with their meaning, severities and likelihoods in rising order."""

    kind: Mapping[str, str]
    status: Mapping[str, str]
    severity: Sequence[str]
    likelihood: Sequence[str]


class Log(NamedTuple):
    """Both lists of hazards, each in the order of its file."""

    vocabulary: Vocabulary
    clinical: Sequence[Record]
    governance: Sequence[Record]

    @property
    def hazards(self) -> Sequence[Record]:
        return [*self.clinical, *self.governance]


def read() -> Log:
    """The log as the two files have it."""
    clinical = yaml.safe_load(CLINICAL.read_text())
    governance = yaml.safe_load(GOVERNANCE.read_text())
    return Log(Vocabulary(**clinical["vocabulary"]), clinical["hazards"], governance["hazards"])


def faults(hazard: Record, vocabulary: Vocabulary) -> list[str]:
    """One sentence for each rule of the log that this record breaks."""
    if hazard.keys() - _OPTIONAL != _FIELDS:
        return [f"Fields missing or unknown: {sorted((hazard.keys() - _OPTIONAL) ^ _FIELDS)}."]
    found = [
        *_text_faults(hazard),
        *[fault for control in hazard["controls"] for fault in _control_faults(control, vocabulary)],
        *[fault for name in ("initial", "residual") for fault in _rating_faults(name, hazard[name], vocabulary)],
    ]
    if hazard["status"] not in vocabulary.status:
        found.append(f"Unknown status: {hazard['status']!r}.")
    is_open = bool(hazard["open"]) or not hazard["controls"]
    if hazard["status"] in ("open", "controlled") and hazard["status"] != ("open" if is_open else "controlled"):
        found.append("A hazard is open if it has an open point or no control; else it is controlled.")
    return [*found, *_review_faults(hazard)]


def _text_faults(hazard: Record) -> list[str]:
    found = []
    if not _ID.fullmatch(hazard["id"]):
        found.append(f"Wrong id: {hazard['id']!r}.")
    found += [f"{name} is empty." for name in ("hazard", "clinical_effect", "owner") if not _is_text(hazard[name])]
    found += [f"{name} is no list of texts." for name in ("causes", "open", "deployer") if not _are_texts(hazard[name])]
    if not hazard["causes"]:
        found.append("There is no cause.")
    return found


def _control_faults(control: Record, vocabulary: Vocabulary) -> list[str]:
    if control.keys() != {"kind", "what", "test"}:
        return [f"A control has kind, what and test, not {sorted(control)}."]
    found = []
    if control["kind"] not in vocabulary.kind:
        found.append(f"Unknown kind of control: {control['kind']!r}.")
    if not _is_text(control["what"]):
        found.append("A control does not say what it is.")
    if control["test"] != NO_TEST and not (control["test"] and _are_texts(control["test"])):
        found.append(f"test is neither a list of tests nor `none`: {control['test']!r}.")
    return found


def _rating_faults(name: str, rating: Record, vocabulary: Vocabulary) -> list[str]:
    if rating.keys() != _RATED:
        return [f"{name} has severity and likelihood, not {sorted(rating)}."]
    allowed = {"severity": vocabulary.severity, "likelihood": vocabulary.likelihood}
    return [
        f"Unknown {part} in {name}: {rating[part]!r}."
        for part in sorted(_RATED)
        if rating[part] not in (*allowed[part], NOT_REVIEWED)
    ]


def _review_faults(hazard: Record) -> list[str]:
    """A rating, an acceptance or a closure needs a named reviewer and a day; a reviewer without a day is none."""
    named, day = hazard["reviewed_by"], hazard["reviewed_on"]
    is_reviewed = _is_text(named) and named != NOT_REVIEWED and isinstance(day, date)
    if is_reviewed or (named, day) == (NOT_REVIEWED, NOT_REVIEWED):
        found = []
    else:
        found = ["reviewed_by and reviewed_on need a name and a day, or both say `not reviewed`."]
    ratings = {value for name in ("initial", "residual") for value in hazard[name].values()}
    if not is_reviewed and (ratings != {NOT_REVIEWED} or hazard["status"] in SIGNED):
        found.append("A rating, an acceptance or a closure needs a reviewer and a day.")
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(each) for each in value)


def named_tests(hazards: Iterable[Record]) -> list[str]:
    """Every test that a control names, in order, each once."""
    named = [test for hazard in hazards for control in hazard["controls"] for test in _tests(control)]
    return list(dict.fromkeys(named))


def _tests(control: Record) -> Sequence[str]:
    return () if control["test"] == NO_TEST else control["test"]


def render(log: Log, template: str) -> str:
    """The page: the template with each `{{place}}` filled."""
    words = log.vocabulary
    filled = {
        "severity": ", ".join(words.severity),
        "likelihood": ", ".join(words.likelihood),
        "kinds": _meanings(words.kind),
        "statuses": _meanings(words.status),
        "counts": _counts(log),
        "clinical_table": _table(log.clinical),
        "governance_table": _table(log.governance),
        "clinical": "\n\n".join(map(_section, log.clinical)),
        "governance": "\n\n".join(map(_section, log.governance)),
        "duties": _duties(log.hazards),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: filled[place[1]], template)


def _meanings(words: Mapping[str, str]) -> str:
    return "\n".join(f"- **{word}**: {meaning}" for word, meaning in words.items())


def _counts(log: Log) -> str:
    lists = (log.clinical, log.governance, log.hazards)
    rows = [["", "patient harm", "governance and operation", "all"]]
    rows += [[f"hazards, {status}", *_numbers(lists, "status", status)] for status in log.vocabulary.status]
    rows.append(["hazards", *[str(len(each)) for each in lists]])
    controls = [[control for hazard in each for control in hazard["controls"]] for each in lists]
    rows += [[f"controls, {kind}", *_numbers(controls, "kind", kind)] for kind in log.vocabulary.kind]
    rows.append(["controls without a test", *_numbers(controls, "test", NO_TEST)])
    rows.append(["open points", *[str(sum(len(hazard["open"]) for hazard in each)) for each in lists]])
    rows.append(["hazards with a reviewed rating", *[str(sum(map(_is_reviewed, each))) for each in lists]])
    return _rows(rows)


def _numbers(lists: Iterable[Sequence[Record]], field: str, value: str) -> list[str]:
    return [str(Counter(str(each[field]) for each in records)[value]) for records in lists]


def _is_reviewed(hazard: Record) -> bool:
    return bool(hazard["reviewed_by"] != NOT_REVIEWED)


def _table(hazards: Iterable[Record]) -> str:
    rows = [["id", "hazard", "controls", "open points", "status"]]
    for hazard in hazards:
        link = f"[{hazard['id']}](#{hazard['id'].lower()})"
        amounts = [str(len(hazard[name])) for name in ("controls", "open")]
        rows.append([link, hazard["hazard"], *amounts, hazard["status"]])
    return _rows(rows)


def _rows(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body))


def _section(hazard: Record) -> str:
    parts = [
        f"### {hazard['id']}",
        f"**{hazard['hazard']}**",
        _rows(
            [
                ["status", "clinical effect", "initial risk", "residual risk", "owner", "reviewed"],
                [
                    hazard["status"],
                    hazard["clinical_effect"],
                    _risk(hazard["initial"]),
                    _risk(hazard["residual"]),
                    hazard["owner"],
                    _review(hazard),
                ],
            ]
        ),
        "Causes:\n\n" + _bullets(hazard["causes"]),
        "Controls:\n\n" + _bullets(map(_control, hazard["controls"]), "There is no control."),
        "Open:\n\n" + _bullets(hazard["open"], "No open point is known."),
        "The deployer must do this:\n\n" + _bullets(hazard["deployer"], "No duty is stated."),
    ]
    if decisions := hazard.get("decisions"):
        parts.append(f"Reasons: decision {', '.join(decisions)}.")
    return "\n\n".join(parts)


def _risk(rating: Record) -> str:
    return f"severity {rating['severity']}, likelihood {rating['likelihood']}"


def _review(hazard: Record) -> str:
    return f"{hazard['reviewed_by']}, {hazard['reviewed_on']}" if _is_reviewed(hazard) else NOT_REVIEWED


def _control(control: Record) -> str:
    shown = [f"`{test}`" for test in _tests(control)] or ["test: none"]
    return "\n".join([f"*{control['kind']}*: {control['what']}", *[f"  - {each}" for each in shown]])


def _bullets(texts: Iterable[str], otherwise: str = "") -> str:
    return "\n".join(f"- {text}" for text in texts) or otherwise


def _duties(hazards: Iterable[Record]) -> str:
    """Every duty once, with the ids of the hazards for which it is one."""
    ids: dict[str, list[str]] = {}
    for hazard in hazards:
        for duty in hazard["deployer"]:
            ids.setdefault(duty, []).append(hazard["id"])
    return _bullets(f"{duty} ({', '.join(whose)})" for duty, whose in ids.items())


def main() -> int:
    """Write the page; or say what is wrong with the records, and write nothing."""
    log = read()
    wrong = [f"{hazard.get('id')}: {fault}" for hazard in log.hazards for fault in faults(hazard, log.vocabulary)]
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
        return 1
    PAGE.write_text(render(log, TEMPLATE.read_text()))
    print(f"{PAGE.name}: {len(log.hazards)} hazards")
    return 0


if __name__ == "__main__":
    sys.exit(main())
