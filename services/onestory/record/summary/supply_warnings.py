"""Finds medicines that were supplied or given although another source forbids or has stopped them.

A supply is compared by its ingredient. After a stop it counts only if no source goes on with the medicine: otherwise
the stop is told at that line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from onestory.record.medicines.own_stops import stated_status
from onestory.record.medicines.products import product_of
from onestory.record.medicines.stop_notes import members_of_class
from onestory.record.merge.model import Fact, Statement
from onestory.record.summary.conflict_words import act_words, organisation_words
from onestory.record.summary.dates import months_after
from onestory.record.summary.dates import shown as date_shown
from onestory.record.summary.doses import doses
from onestory.record.summary.medicine_rows import medicine_statuses
from onestory.record.summary.medicine_standing import (
    CURRENT,
    FORBIDDEN,
    MEDICINE_ORDERS,
    STOPPED,
    SUPPLIED,
    SUPPLIES,
    supplied_on,
)
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import strong, text
from onestory.record.summary.supplied_products import supplied_otherwise
from onestory.record.summary.wording import medicine_name, name_of
from onestory.shared.fhir.dates import parse_date
from onestory.shared.fhir.json import text_at

_MISSED_MONTHS = 4
"""So long a dose that was not given is told: some injections are given every three months."""


class SupplyWarning(NamedTuple):
    """The fact of a supply, and the words (XHTML) for it."""

    supply: Fact
    words: str


def supply_warnings(record: SummaryRecord) -> Iterator[SupplyWarning]:
    """Yields a warning for each supply of the last months that another source forbids or has stopped."""
    supplies = [fact for fact in record.facts(*SUPPLIES) if _is_recent(record, fact)]
    if not supplies:
        return
    against: dict[str, list[Statement]] = {}
    of_class: list[tuple[frozenset[str], Statement]] = []
    going_on: set[str] = set()
    for fact in record.facts(*MEDICINE_ORDERS):
        for statement in record.valid_statements(fact):
            key = product_key(statement)
            group = record.once(medicine_statuses)[statement.shared_id].group
            if group == FORBIDDEN or (group == STOPPED and stated_status(statement.content) == "stopped"):
                against.setdefault(key, []).append(statement)
                if group == FORBIDDEN and (members := members_of_class(name_of(statement.content))):
                    of_class.append((members, statement))
            elif group in CURRENT:
                going_on.add(key)
    for fact in supplies:
        shown = record.shown(fact)
        key = product_key(shown)
        ingredients = product_of(name_of(shown.content)).ingredients
        named = [each for members, each in of_class if not members.isdisjoint(ingredients)]
        forbidding = [
            each for each in (*against.get(key, ()), *named) if _is_against(each, shown, goes_on=key in going_on)
        ]
        if forbidding:
            yield SupplyWarning(fact, _words(record, shown, forbidding))


def otherwise_warnings(record: SummaryRecord) -> Iterator[SupplyWarning]:
    """Yields, for the supply and for the order, a warning that another dose was supplied than is prescribed."""
    supplies = [fact for fact in record.facts(*SUPPLIES) if _is_recent(record, fact)]
    if not supplies:
        return
    orders = [
        fact
        for fact in record.facts(*MEDICINE_ORDERS)
        if any(
            record.once(medicine_statuses)[each.shared_id].group in CURRENT for each in record.valid_statements(fact)
        )
    ]
    for supply, order in supplied_otherwise(record, supplies, orders):
        verb = "Supplied" if supply.resource_type == "MedicationDispense" else "Given"
        sides = (("Prescribed", order), (verb, supply))
        words = " ".join(text(f"{said}: {_dose_line(record, fact)}.") for said, fact in sides)
        for fact in (order, supply):
            yield SupplyWarning(fact, f"{strong(text(f'{verb.upper()} OTHERWISE THAN PRESCRIBED.'))} {words}")


def _dose_line(record: SummaryRecord, fact: Fact) -> str:
    shown = record.shown(fact)
    when = supplied_on(shown.content) or text_at(shown.content, "authoredOn")
    dated = f", {date_shown(when)}" if when else ""
    stated = "; ".join(doses(record.exact_content(shown))) or "no dose stated"
    return f"{medicine_name(record, shown)}: {stated} ({organisation_words(record, shown)}{dated})"


def missed_doses(record: SummaryRecord) -> Mapping[str, str]:
    """For the key of each product whose last dose of the last months was not given: the words (XHTML) for it."""
    last: dict[str, tuple[datetime, Statement]] = {}
    for fact in record.facts("MedicationAdministration"):
        statement = record.shown(fact)
        given = parse_date(supplied_on(statement.content))
        when = given.begin if given else statement.recorded_at
        key = product_key(statement)
        if key not in last or when > last[key][0]:
            last[key] = when, statement
    return {
        key: words[0]
        for key, (when, statement) in last.items()
        if text_at(statement.content, "status") == "not-done"
        and months_after(when, _MISSED_MONTHS) > record.at
        and (words := act_words(record, statement))
    }


def product_key(statement: Statement) -> str:
    """The key of the ingredients of a medicine."""
    return product_of(name_of(statement.content)).key


def _is_recent(record: SummaryRecord, fact: Fact) -> bool:
    if any(conflict.kind in ("status", "negation") for conflict in fact.conflicts):
        # The conflict says so.
        return False
    return any(
        record.once(medicine_statuses)[each.shared_id].group == SUPPLIED for each in record.valid_statements(fact)
    )


def _is_against(statement: Statement, supply: Statement, *, goes_on: bool) -> bool:
    if statement.source == supply.source:
        return False
    forbidden = statement.content.get("doNotPerform") is True
    path = ("authoredOn",) if forbidden else ("effectivePeriod", "end")
    stated, handed = parse_date(text_at(statement.content, *path)), parse_date(supplied_on(supply.content))
    if handed is None or (goes_on and not forbidden):
        return False
    return handed.begin > (stated.end if stated else statement.recorded_at)


def _words(record: SummaryRecord, supply: Statement, against: Sequence[Statement]) -> str:
    verb = "GIVEN" if supply.resource_type == "MedicationAdministration" else "SUPPLIED"
    when = date_shown(supplied_on(supply.content))
    first = f"{strong(text(f'{verb} all the same'))} by {text(organisation_words(record, supply))}, {text(when)}."
    return " ".join([first, *(words for each in against for words in act_words(record, each))])
