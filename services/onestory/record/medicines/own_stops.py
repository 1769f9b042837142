"""Finds in the words of a medicine that its own source stopped or paused it, although its status says that it goes on.

Many systems leave the status `active` and write "STOPPED - GI bleed" into the directions, a note or the name. The
words are those below `own` in `schemas/merge/stop-notes.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from onestory.record.clinical_data import alternatives, clinical_table, read_clinical_data
from onestory.record.medicines.names import lexicon, named_medicines, words_of
from onestory.record.text_cache import MAX_READ_LENGTH, cache_texts
from onestory.shared.fhir.dates import parse_date
from onestory.shared.fhir.json import concept_text, concept_texts, first_object, objects, text

STOPPED = "stopped"
PAUSED = "on-hold"
NOT_TAKEN = "not-taken"
COMPLETED = "completed"
_ORDERS = ("MedicationRequest", "MedicationStatement")
_OPEN_STATUSES = ("active", "completed", "unknown", "")
_CLAUSES = re.compile(r"[;:!?()\[\]*\n\u2013\u2014]|[.,](?!\d)|\s-+\s|-+>|\s/\s")
_DAY_AND_MONTH = r"(?<![\d/.-])\d{1,2}[/.-]\d{1,2}[/.-]"
_YEARS = re.compile(rf"(?:{_DAY_AND_MONTH}|(?<![\d/.-]))((?:19|20)\d\d)(?!\d)|{_DAY_AND_MONTH}(\d\d)(?!\d)")
_LONG_BEFORE = timedelta(days=90)
_LONGEST_SUBJECT = 8
"""Words that may stand before the stop: "Bisoprolol 5mg tablets was stopped"."""


class OwnStop(NamedTuple):
    """A stop in words: the status that it means, and the text that says so.

    The status is `stopped`, `completed`, `on-hold` or `not-taken`.
    """

    status: str
    words: str


class _StopWords(NamedTuple):
    maybe: re.Pattern[str]
    done: re.Pattern[str]
    now: re.Pattern[str]
    now_follow: re.Pattern[str]
    status_of: Mapping[str, str]
    follow: re.Pattern[str]
    conditions: Mapping[str, re.Pattern[str]]
    parts: re.Pattern[str]
    unless: re.Pattern[str]
    for_now: re.Pattern[str]
    name: re.Pattern[str]
    subjects: frozenset[str]


@clinical_table
def _words() -> _StopWords:
    data = read_clinical_data("merge/stop-notes")["own"]
    done_kinds = {"stopped": STOPPED, "completed": COMPLETED, "paused": PAUSED, "not-taken": NOT_TAKEN}
    kinds = {**done_kinds, "now": STOPPED, "now-paused": PAUSED}
    status_of = {word: status for kind, status in kinds.items() for word in data[kind]}
    done = [word for kind in done_kinds for word in data[kind]]
    condition, paused = (_any_of(data[name]) for name in ("condition", "condition-paused"))
    return _StopWords(
        _any_of(status_of),
        _any_of(done),
        _any_of([*data["now"], *data["now-paused"]]),
        re.compile(rf"\W*(?:{alternatives(data['now-follow'])})(?!\w)"),
        status_of,
        re.compile(rf"\W*(?:$|\d|(?:{alternatives(data['follow'])})(?!\w))"),
        {STOPPED: condition, COMPLETED: condition, PAUSED: paused, NOT_TAKEN: condition},
        re.compile(rf"\W*\d+\s*(?:(?:of|/)\s*\d+\s*)?(?:{alternatives(data['parts'])})(?!\w)"),
        _any_of(data["unless"]),
        _any_of(data["for-now"]),
        re.compile(
            rf"^\W*(?:{alternatives(data['name'])})\s*[:*\])\u2013\u2014-]|^\W*(?:{alternatives(done)})(?=\s+\w)"
            rf"|(?:[:(\[*\u2013\u2014]|\s-)\s*(?:{alternatives(data['name'])})"
            rf"(?=\s*(?:$|[\d:;,.()\]*\u2013\u2014-]|(?:{alternatives(data['follow'])})(?!\w)))"
        ),
        frozenset(data["subjects"]),
    )


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{alternatives(words)})(?![\w-])")


def stated_status(content: Mapping[str, Any]) -> str:
    """The status of a medicine: that of its own words if they stop or pause it, else the coded one; "" if neither."""
    stop = own_stop(content)
    return stop.status if stop else text(content.get("status"))


def own_stop(content: Mapping[str, Any]) -> OwnStop | None:
    """The stop of a medicine in the words of its own entry; None if there is none, or if its status says it already."""
    if content.get("resourceType") not in _ORDERS or content.get("status", "") not in _OPEN_STATUSES:
        return None
    concept = content.get("medicationCodeableConcept")
    name = concept_text(concept) if isinstance(concept, dict) else ""
    if name and (status := _status_in_name(name)):
        return OwnStop(status, name)
    for written, is_note in _texts(content):
        # Most texts have no word of a stop: this is asked of every medicine.
        if _may_stop(written) and (status := _status_in(written, name, is_note)):
            if content.get("doNotPerform") is True or _is_earlier(written, _begun(content)):
                continue
            return OwnStop(status, written)
    return None


def _texts(content: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """The texts of an entry that may stop it, each with whether it is a note and no direction."""
    found = []
    for element in ("dosageInstruction", "dosage"):
        for each in objects(content[element]) if element in content else ():
            for part in ("text", "patientInstruction"):
                if isinstance(written := each.get(part), str):
                    found.append((written, False))
            if "additionalInstruction" in each:
                found += [(written, False) for written in concept_texts(each, "additionalInstruction")]
    if "statusReason" in content:
        found += [(written, True) for written in concept_texts(content, "statusReason")]
    if "note" in content:
        found += [(written, True) for each in objects(content["note"]) if isinstance(written := each.get("text"), str)]
    return found


@cache_texts(16384, read=MAX_READ_LENGTH)
def _may_stop(written: str) -> bool:
    return _words().maybe.search(written.casefold().replace("\u2019", "'")) is not None


def _begun(content: Mapping[str, Any]) -> str:
    """When the medicine was ordered, began or was stated, as it is written; "" if nothing says so."""
    period = first_object(content.get("effectivePeriod"))
    dates = (
        content.get("authoredOn"),
        content.get("effectiveDateTime"),
        period.get("start"),
        content.get("dateAsserted"),
    )
    return next((found for each in dates if (found := text(each))), "")


@cache_texts(8192, read=MAX_READ_LENGTH)
def _is_earlier(written: str, begun: str) -> bool:
    """Whether all years that a text names are over long before the medicine began: it was stopped once, and goes on."""
    start = parse_date(begun)
    years = [int(each[0] or f"20{each[1]}") for each in _YEARS.findall(written)]
    if start is None or not years:
        return False
    last = parse_date(str(max(years)))
    return last is not None and last.end + _LONG_BEFORE < start.begin


@cache_texts(16384, read=MAX_READ_LENGTH)
def _status_in_name(name: str) -> str:
    words, written = _words(), name.casefold()
    found = words.name.search(written)
    if not found or words.unless.search(written):
        return ""
    return _meant(next(words.status_of[word] for word in words.maybe.findall(found[0])), written)


@cache_texts(16384, read=MAX_READ_LENGTH)
def _status_in(written: str, name: str, is_note: bool) -> str:
    """The status that a text gives its own medicine, which has this name; "" if it gives none."""
    words, whole = _words(), " ".join(written.casefold().replace("\u2019", "'").split())
    if words.unless.search(whole):
        return ""
    begin = 0
    for mark in [*_CLAUSES.finditer(whole), None]:
        clause, rest = whole[begin : mark.start() if mark else len(whole)].strip(), whole[begin:]
        if status := _status_in_clause(clause, name, is_note=is_note, heads_list=bool(mark and mark[0] == ":")):
            return _meant(status, rest)
        begin = mark.end() if mark else len(whole)
    return ""


def _status_in_clause(clause: str, name: str, *, is_note: bool, heads_list: bool) -> str:
    words = _words()
    found = words.done.search(clause)
    if found is None:
        found = words.now.search(clause)
        if found is None:
            return ""
        rest = clause[found.end() :]
        if not (_name_itself(rest, name) or words.now_follow.match(rest)):
            return ""
    if not _is_subject(clause[: found.start()], name):
        return ""
    status = words.status_of[" ".join(found[0].split())]
    if words.conditions[status].search(clause, found.end()) or words.parts.match(clause, found.end()):
        return ""
    is_plain = words.follow.match(clause[found.end() :]) is not None
    if status in (NOT_TAKEN, COMPLETED) and not is_plain:
        # "Not taking regularly".
        return ""
    if is_note and (heads_list or not is_plain):
        # "Stopped smoking", and "Stopped on admission: ramipril", are about something else.
        return ""
    after = words_of(clause[found.end() :])[:2]
    if not is_note and any(named_medicines(after)) and not _name_itself(" ".join(after), name):
        return ""
    return status


def _is_subject(before: str, name: str) -> bool:
    """Whether the words before a stop are about the medicine itself, or are none."""
    tokens = words_of(before)
    if len(tokens) > _LONGEST_SUBJECT:
        return False
    rest = [token for token in tokens if token not in _words().subjects]
    return _name_itself(" ".join(rest), name)


def _name_itself(written: str, name: str) -> bool:
    """Whether the words are those of the name, or of its ingredients, or none."""
    tokens = words_of(written)
    return not tokens or {token for token in tokens if not token.isdigit()} <= {*words_of(name), *_other_names(name)}


def _other_names(name: str) -> set[str]:
    """The words of the ingredients that a name names: an entry of a brand may write of the generic."""
    named = named_medicines(words_of(name))
    return {word for each in named for ingredient in lexicon().names[each] for word in ingredient.split()}


def _meant(status: str, rest: str) -> str:
    return PAUSED if status == STOPPED and _words().for_now.search(rest) else status
