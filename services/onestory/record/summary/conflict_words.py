"""Writes a conflict for a reader in a hurry: what was done, by whom, when and why; then what the other side states.

A stop, a pause or a denial of a medicine leads its paragraph. Doses stand side by side, and none of them leads. Every
other conflict has its explanation, and each side with its organisation and date.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from onestory.record.medicines.own_stops import NOT_TAKEN, own_stop, stated_status
from onestory.record.medicines.products import product_of
from onestory.record.medicines.stop_notes import stop_notes
from onestory.record.merge.model import FactConflict, Statement
from onestory.record.merge.reading import MEDICINE_TYPES
from onestory.record.summary import dates as summary_dates
from onestory.record.summary.clinical_dates import clinical_date, clinical_date_text, recorded_date
from onestory.record.summary.doses import doses
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.notation import plain_notation
from onestory.record.summary.wording import medicine_name, notes, short_text
from onestory.shared.fhir.dates import parse_date, uk_day
from onestory.shared.fhir.json import concept_texts, text_at

MAX_STATEMENTS_PER_SIDE = 5
"""Statements that are quoted for one side of a conflict; the others have lines of their own in the section."""

_STOPS = {"stopped": "STOPPED", "cancelled": "CANCELLED", "completed": "ENDED", "on-hold": "PAUSED"}
_DOSES = ("dose", "dose-wording")
STOPS_ANOTHER = strong("Stops another medicine?")
"""How the words begin at a medicine whose note stops another one: it goes on itself."""


def conflict_words(record: SummaryRecord, conflict: FactConflict, line: Collection[str] = ()) -> list[str]:
    """Paragraphs of XHTML about one conflict: the headline first, then each side. Never empty.

    `line`: the statements of the line at which they stand; empty at the top of the page.
    """
    sides = [_known(record, side) for side in conflict.sides]
    statements = [statement for side in sides for statement in side]
    if statements and all(each.resource_type in MEDICINE_TYPES for each in statements):
        if conflict.kind in _DOSES:
            headline = strong("DOSES DIFFER:") if conflict.kind == "dose" else "Directions as each source writes them:"
            other_names = len({medicine_name(record, each) for each in statements}) > 1
            lines = (_dose_line(record, each, named=other_names) for each in _newest_first(statements))
            return [headline, *lines, *_more(conflict)]
        if conflict.kind in ("status", "negation") and (words := _status_words(record, statements, line)):
            return [*words, *_more(conflict)]
        if conflict.kind == "note" and (words := _note_words(record, sides, line)):
            return [*words, *_more(conflict)]
        if conflict.kind == "same-class":
            named = dict.fromkeys(
                f"{medicine_name(record, each)} ({_who_and_when(record, each)})" for each in statements
            )
            return [f"{strong(text(conflict.explanation))} {text('; '.join(named))}.", *_more(conflict)]
    if conflict.is_hint:
        names = dict.fromkeys(medicine_name(record, each) for each in statements)
        listed = f" {text('; '.join(names))}." if len(names) > 1 else ""
        return [f"{text(conflict.explanation)}{listed}", *_more(conflict)]
    return [f"{strong('Sources disagree:')} {text(conflict.explanation)}", *side_words(record, conflict)]


def side_words(record: SummaryRecord, conflict: FactConflict) -> list[str]:
    """Paragraphs of XHTML, one for each side of a conflict: `X, 14 Sep 2026: 4 tablets`."""
    return [_side(record, side) for side in conflict.sides]


def _side(record: SummaryRecord, side: tuple[str, ...]) -> str:
    quotes = [
        f"{text(_who_and_when(record, each))}: {text(short_text(record.exact_content(each)))}"
        for each in _known(record, side)
    ]
    more = len(side) - MAX_STATEMENTS_PER_SIDE
    return "; ".join([*quotes, f"and {more} more"] if more > 0 else quotes)


def _more(conflict: FactConflict) -> Iterator[str]:
    left_out = sum(max(len(side) - MAX_STATEMENTS_PER_SIDE, 0) for side in conflict.sides)
    if left_out:
        yield f"and {left_out} more"


def _known(record: SummaryRecord, side: Iterable[str]) -> list[Statement]:
    quoted = list(side)[:MAX_STATEMENTS_PER_SIDE]
    return [statement for shared_id in quoted if (statement := record.statement(shared_id))]


def _status_words(record: SummaryRecord, statements: Sequence[Statement], line: Collection[str]) -> list[str]:
    """The denials and ends first, then who still has the medicine; empty if neither is stated."""
    against = [each for each in statements if is_against(each.content) and not _is_supply(each)]
    going_on = [each for each in statements if each not in against]
    if not against:
        return []
    if not any(each.shared_id in line for each in against):
        # The line itself is what goes on: it has its dose and its source.
        going_on = [each for each in going_on if each.shared_id not in line]
    names = {product_of(medicine_name(record, each)).key for each in statements}
    # Where the sides name different ingredients, as a combination and a part of it, the one that was ended is named.
    about = {each.shared_id: f": {medicine_name(record, each)}," if len(names) > 1 else "" for each in against}
    first = [
        f"{strong(text(_act(each.content)))}{text(about[each.shared_id])} {text(_by(record, each))}"
        for each in _newest_first(against)
    ]
    return [*first, *dict.fromkeys(text(_still(record, each)) for each in _newest_first(going_on))]


def _note_words(record: SummaryRecord, sides: Sequence[Sequence[Statement]], line: Collection[str]) -> list[str]:
    """The note that stops a medicine, with the medicine at which it stands; then the medicines that go on.

    At the line of the note itself only what it stops is named: its own medicine goes on.
    """
    noted, going_on = noted_side(sides)
    if not noted:
        return []
    if any(each.shared_id in line for each in noted):
        targets = dict.fromkeys(f"{medicine_name(record, each)} ({_who_and_when(record, each)})" for each in going_on)
        return [f"{STOPS_ANOTHER} {text('; '.join(targets))}."]
    words = [
        f"{strong('Stopped by a note?')} “{text('; '.join(stop_notes(each.content)))}” "
        f"({text(medicine_name(record, each))}, {text(_who_and_when(record, each))})."
        for each in _newest_first(noted)
    ]
    return [*words, *dict.fromkeys(text(_still(record, each)) for each in going_on)]


def noted_side(sides: Sequence[Sequence[Statement]]) -> tuple[list[Statement], list[Statement]]:
    """The statements whose notes stop a medicine, and those of the medicines that go on."""
    noted = [each for side in sides if any(stop_notes(one.content) for one in side) for each in side]
    return noted, [each for side in sides for each in side if each not in noted]


def _is_supply(statement: Statement) -> bool:
    return statement.resource_type == "MedicationDispense" and text_at(statement.content, "status") == "completed"


def is_against(content: Mapping[str, Any]) -> bool:
    """Whether a medicine was stopped, paused, forbidden, or not taken or given."""
    if content.get("resourceType") == "MedicationDispense" and text_at(content, "status") == "on-hold":
        return False
    return content.get("doNotPerform") is True or stated_status(content) in (*_STOPS, NOT_TAKEN, "not-done")


def act_words(record: SummaryRecord, statement: Statement) -> list[str]:
    """A paragraph of XHTML on who stopped, paused or forbade a medicine, when and why; none if nobody did."""
    content = statement.content
    if not is_against(content) or (
        stated_status(content) == "completed" and "statusReason" not in content and own_stop(content) is None
    ):
        return []
    return [f"{strong(text(_act(content)))} {text(_by(record, statement))}"]


def _act(content: Mapping[str, Any]) -> str:
    if content.get("doNotPerform") is True:
        return "DO NOT GIVE"
    given = content.get("resourceType") in ("MedicationAdministration", "MedicationDispense")
    return _STOPS.get(stated_status(content), "NOT GIVEN" if given else "NOT TAKEN")


def _by(record: SummaryRecord, statement: Statement) -> str:
    content, organisation = statement.content, organisation_words(record, statement)
    stop = own_stop(content)
    why = [*concept_texts(content, "statusReason"), *concept_texts(content, "reasonCode")]
    why += notes(content)
    if stop:
        why = [f"“{stop.words}”", *(each for each in why if each != stop.words)]
    reason = f" ({'; '.join(dict.fromkeys(why))})" if why else ""
    if stated_status(content) in (NOT_TAKEN, "not-done"):
        since = "" if stop else clinical_date_text(statement).removeprefix("from ")
        once = content.get("resourceType") == "MedicationAdministration"
        when = (
            f"{'on' if once else 'since'} {since}"
            if since
            else f"on {recorded_date(statement) or changed_on(statement)}"
        )
        return f"{when}, as {organisation} recorded{reason}."
    if content.get("doNotPerform") is True:
        return f"by order of {organisation}, {_stated_on(statement)}{reason}."
    return f"by {organisation}, {changed_on(statement)}{reason}."


def _still(record: SummaryRecord, statement: Statement) -> str:
    content, organisation = statement.content, organisation_words(record, statement)
    if _is_supply(statement):
        return f"Handed over after that, {summary_dates.shown(content.get('whenHandedOver'))}, by {organisation}."
    dose = "; ".join(doses(record.exact_content(statement)))
    what = f": {dose}" if dose else f": {medicine_name(record, statement)}"
    if is_own_practice(record, statement):
        repeat = "repeat list" if _is_repeat(content) else "list"
        return f"Still on the GP's {repeat} ({organisation}){what}."
    return f"Still on the list of {organisation}{what}."


def _is_repeat(content: Mapping[str, Any]) -> bool:
    return "continuous" in " ".join(concept_texts(content, "courseOfTherapyType")).casefold() or (
        text_at(content, "intent") == "plan"
    )


def is_own_practice(record: SummaryRecord, statement: Statement) -> bool:
    """Whether the statement is of the person's present general practice."""
    listed = record.patient.get("generalPractitioner")
    practices = [text_at(each, "identifier", "value") for each in listed] if isinstance(listed, list) else []
    return statement.organisation in practices


def _dose_line(record: SummaryRecord, statement: Statement, *, named: bool) -> str:
    content = record.exact_content(statement)
    dose = "; ".join(doses(content)) or "no dose stated"
    name = f"{text(plain_notation(medicine_name(record, statement)))}: " if named else ""
    return f"{text(_who_and_when(record, statement))}: {name}{strong(text(dose))}"


def _who_and_when(record: SummaryRecord, statement: Statement) -> str:
    when = _stated_on(statement)
    return ", ".join(part for part in (organisation_words(record, statement), when) if part)


def _stated_on(statement: Statement) -> str:
    """The day of the statement: when it was authored or happened, else when it was recorded or sent."""
    authored = parse_date(text_at(statement.content, "authoredOn"))
    if authored and authored.uk_day:
        return summary_dates.day(authored.uk_day)
    return clinical_date_text(statement) or recorded_date(statement) or changed_on(statement)


def changed_on(statement: Statement) -> str:
    """The day on which a medicine was stopped or paused: the end that is stated, else the day of the statement."""
    end = parse_date(text_at(statement.content, "effectivePeriod", "end"))
    recorded = uk_day(statement.recorded_at)
    # An end that is to come was the plan before the stop.
    if end and end.uk_day and end.uk_day <= recorded:
        return summary_dates.day(end.uk_day)
    return summary_dates.day(recorded)


def organisation_words(record: SummaryRecord, statement: Statement) -> str:
    """The name of the statement's organisation; its code only if no name is known."""
    return record.organisation_of(statement)


def _newest_first(statements: Iterable[Statement]) -> list[Statement]:
    def key(statement: Statement) -> tuple[float, str]:
        authored = parse_date(text_at(statement.content, "authoredOn"))
        return -(authored or clinical_date(statement)).begin.timestamp(), statement.shared_id

    return sorted(statements, key=key)
