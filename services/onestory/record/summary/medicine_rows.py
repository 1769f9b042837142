"""Puts what belongs to one medicine into one row: a repeat with its issues, its statement of use and its supplies.

Only what cannot mislead stands in a row of several: a stop, a pause, another dose or an order not to give keeps a row
of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from onestory.record.medicines.own_stops import PAUSED as PAUSED_STATUS
from onestory.record.medicines.own_stops import stated_status
from onestory.record.merge.model import Fact, Statement
from onestory.record.merge.reading import MEDICINE_TYPES
from onestory.record.merge.values import reference_id
from onestory.record.summary.dates import months_after
from onestory.record.summary.doses import doses
from onestory.record.summary.medicine_courses import limited_supply
from onestory.record.summary.medicine_standing import (
    CURRENT,
    FORBIDDEN,
    GROUPS,
    LAPSED,
    MEDICINE_ORDERS,
    PAUSED,
    REPEAT,
    STOPPED,
    SUPPLIED,
    SUPPLIES,
    UNSURE,
    MedicineStatus,
    medicine_status,
    supplied_on,
)
from onestory.record.summary.medicine_words import standing_words
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.supplied_products import entry_of, is_supply_of
from onestory.record.summary.wording import medicine_name
from onestory.shared.fhir.dates import DateSpan, parse_date
from onestory.shared.fhir.json import Code, codes_of, extensions, objects_at, text_at

_ALONE = {FORBIDDEN, PAUSED, UNSURE, STOPPED}
_ISSUES = {"completed", "active"}
_LAST_ISSUE = ("MedicationStatementLastIssueDate", "MedicationStatementLastIssueDate-1", "LastIssueDate")
_DATES = ("whenHandedOver", "whenPrepared", "effectiveDateTime", "authoredOn")
"""The dates of an issue or a supply, the first that is stated."""


@dataclass(slots=True)
class MedicineRow:
    """One row: the fact that leads it, statements of use of the same course, and issues and supplies of it."""

    lead: Fact
    taken: list[Fact] = field(default_factory=list)
    issues: list[Fact] = field(default_factory=list)

    @property
    def also(self) -> list[Fact]:
        """The facts that stand in the row beside its lead."""
        return [*self.taken, *self.issues]


def medicine_rows(record: SummaryRecord) -> list[MedicineRow]:
    """All medicines of the record in rows; each fact stands in exactly one."""
    facts = list(record.facts(*MEDICINE_TYPES))
    rows = {fact.id: MedicineRow(fact) for fact in facts}
    groups = {fact.id: fact_status(record, [fact]).group for fact in facts}
    by_member = {statement.shared_id: fact for fact in facts for statement in fact.members}
    placed: set[str] = set()
    _place_issues(record, facts, rows, groups, by_member, placed)
    for fact in facts:
        if fact.resource_type == "MedicationStatement":
            based_on = _plan_of(record, fact, by_member)
            related = [by_member[each] for each in fact.related if each in by_member]
            for request in [*([based_on] if based_on else []), *related]:
                if request.id not in placed and _may_share(groups, fact, request):
                    rows[request.id].taken.append(fact)
                    placed.add(fact.id)
                    break
    _place_earlier_supplies(record, facts, rows, groups, placed)
    _place_supplies(record, facts, rows, groups, placed)
    return [rows[fact.id] for fact in facts if fact.id not in placed]


def _place_issues(
    record: SummaryRecord,
    facts: Sequence[Fact],
    rows: dict[str, MedicineRow],
    groups: dict[str, str],
    by_member: dict[str, Fact],
    placed: set[str],
) -> None:
    plans: dict[object, Fact] = {}
    for fact in facts:
        shown = record.shown(fact)
        if fact.resource_type == "MedicationRequest" and text_at(shown.content, "intent") == "plan":
            for code in _codes(record, fact):
                plans[shown.source, code, tuple(doses(shown.content))] = fact
    for fact in facts:
        if fact.resource_type != "MedicationRequest":
            continue
        shown = record.shown(fact)
        keys = ((shown.source, code, tuple(doses(shown.content))) for code in _codes(record, fact)) if plans else ()
        plan = _plan_of(record, fact, by_member) or next((plans[key] for key in keys if key in plans), None)
        if plan and plan.id not in placed and not rows[fact.id].issues and _is_issue(record, fact, groups, plan):
            rows[plan.id].issues.append(fact)
            placed.add(fact.id)


def _place_earlier_supplies(
    record: SummaryRecord, facts: Sequence[Fact], rows: dict[str, MedicineRow], groups: dict[str, str], placed: set[str]
) -> None:
    """Puts an order whose supply has ended into the row of the order by which its source supplied the same again."""
    orders = [fact for fact in facts if fact.resource_type == "MedicationRequest" and fact.id not in placed]
    ended = [each for each in orders if groups[each.id] == LAPSED and limited_supply(record.shown(each).content)]
    if not ended:
        return
    again = {_same_order(record, each): each for each in orders if groups[each.id] in CURRENT}
    for fact in ended:
        found = again.get(_same_order(record, fact))
        if found and not rows[fact.id].also:
            rows[found.id].issues.append(fact)
            placed.add(fact.id)


def _same_order(record: SummaryRecord, fact: Fact) -> Hashable:
    shown = record.shown(fact)
    return shown.source, medicine_name(record, shown).casefold(), tuple(doses(shown.content))


def _place_supplies(
    record: SummaryRecord, facts: Sequence[Fact], rows: dict[str, MedicineRow], groups: dict[str, str], placed: set[str]
) -> None:
    """Puts each supply into the row of the same product whose dose does not differ from that of the supply."""
    supplies = [fact for fact in facts if fact.resource_type in SUPPLIES and groups[fact.id] not in _ALONE]
    if not supplies:
        return
    of_dose: dict[object, Fact] = {}
    for fact in facts:
        if fact.resource_type not in SUPPLIES and fact.id not in placed and groups[fact.id] not in _ALONE:
            for code in _codes(record, fact):
                of_dose.setdefault(code, fact)
                of_dose.setdefault((code, tuple(doses(record.shown(fact).content))), fact)
    of_product: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.resource_type in MEDICINE_ORDERS and fact.id not in placed and groups[fact.id] in CURRENT:
            of_product.setdefault(entry_of(record, fact).product.key, []).append(fact)
    for supply in supplies:
        dose = tuple(doses(record.shown(supply).content))
        keys = ((code, dose) if dose else code for code in sorted(_codes(record, supply)))
        entry = entry_of(record, supply)
        named = (
            each
            for each in of_product.get(entry.product.key, ())
            if not _doses_conflict(each) and is_supply_of(entry, entry_of(record, each))
        )
        if found := next((of_dose[key] for key in keys if key in of_dose), None) or next(named, None):
            rows[found.id].issues.append(supply)
            placed.add(supply.id)
    _place_alike(record, [each for each in supplies if each.id not in placed], rows, groups, placed)


def _place_alike(
    record: SummaryRecord,
    supplies: Sequence[Fact],
    rows: dict[str, MedicineRow],
    groups: dict[str, str],
    placed: set[str],
) -> None:
    """Puts earlier supplies of one source, of the same medicine and dose, into the row of the newest."""
    newest: dict[Hashable, Fact] = {}
    for fact in sorted(supplies, key=lambda each: supplied_on(record.shown(each).content), reverse=True):
        if groups[fact.id] in (SUPPLIED, LAPSED) and not fact.conflicts and not rows[fact.id].also:
            lead = newest.setdefault((fact.resource_type, _same_order(record, fact)), fact)
            if lead is not fact:
                rows[lead.id].issues.append(fact)
                placed.add(fact.id)


def _codes(record: SummaryRecord, fact: Fact) -> set[Code]:
    return set(codes_of(record.shown(fact).content, "medicationCodeableConcept"))


def _plan_of(record: SummaryRecord, fact: Fact, by_member: dict[str, Fact]) -> Fact | None:
    """The request that the fact states to be based on."""
    for name in ("basedOn", "authorizingPrescription"):
        for reference in objects_at(record.shown(fact).content, name):
            target = record.lookup.current_id(reference_id(reference))
            found = by_member.get(target) if target else None
            if found and found is not fact and found.resource_type == "MedicationRequest":
                return found
    return None


def _is_issue(record: SummaryRecord, fact: Fact, groups: dict[str, str], plan: Fact) -> bool:
    if fact.resource_type != "MedicationRequest" or groups[fact.id] == FORBIDDEN or groups[plan.id] == FORBIDDEN:
        return False
    content = record.shown(fact).content
    if text_at(content, "status") not in _ISSUES or text_at(content, "intent") == "plan" or _doses_conflict(fact):
        return False
    own, planned = doses(content), doses(record.shown(plan).content)
    return not own or own == planned


def _may_share(groups: dict[str, str], taken: Fact, request: Fact) -> bool:
    if _doses_conflict(taken) or _doses_conflict(request) or request.resource_type != "MedicationRequest":
        return False
    return groups[taken.id] == groups[request.id] or not {groups[taken.id], groups[request.id]} & _ALONE


def _doses_conflict(fact: Fact) -> bool:
    return any(conflict.kind.startswith("dose") for conflict in fact.conflicts)


def fact_status(record: SummaryRecord, facts: Sequence[Fact]) -> MedicineStatus:
    """How the facts of a row stand; the most current statement decides, because a medicine that is taken may do harm.

    A pause that is newer than every other statement decides over them. `until` has passed if all are too old.
    """
    statements = [statement for fact in facts for statement in record.valid_statements(fact)]
    statuses = record.once(medicine_statuses)
    found = [(statement, statuses[statement.shared_id]) for statement in statements]
    valid = [(statement, status) for statement, status in found if status.until > record.at]
    if not valid:
        return max((status for _, status in found), key=lambda status: status.until)
    until = min(status.until for _, status in valid)
    newest = max(statement.recorded_at for statement, _ in valid)
    paused = [status for statement, status in valid if status.group == PAUSED and statement.recorded_at == newest]
    decisive = min((status for _, status in valid), key=lambda status: GROUPS.index(status.group))
    if paused and decisive.group != FORBIDDEN:
        decisive = paused[0]
    return MedicineStatus(decisive.group, until, decisive.ended)


def medicine_statuses(record: SummaryRecord) -> Mapping[str, MedicineStatus]:
    """How each medicine stands by each valid statement, by shared id."""
    statements = (each for fact in record.every_fact(*MEDICINE_TYPES) for each in record.valid_statements(fact))
    return {statement.shared_id: medicine_status(record, statement) for statement in statements}


def row_status(record: SummaryRecord, row: MedicineRow) -> MedicineStatus:
    """How the row stands: a repeat that was last issued long ago has lapsed."""
    status = fact_status(record, [row.lead, *row.taken])
    if status.group in CURRENT and _is_paused_elsewhere(record, row):
        return MedicineStatus(PAUSED, status.until)
    issued = last_issued(record, row)
    if status.group != REPEAT or issued is None:
        return status
    authored = [parse_date(text_at(each.content, "authoredOn")) for each in record.valid_statements(row.lead)]
    newest = max([issued.end, *(each.end for each in authored if each)])
    lapses = months_after(newest, standing_words().not_issued_months)
    if lapses <= record.at:
        return MedicineStatus(LAPSED, status.until)
    return MedicineStatus(REPEAT, min(status.until, lapses))


def _is_paused_elsewhere(record: SummaryRecord, row: MedicineRow) -> bool:
    """Whether another line of the medicine, that is newer, pauses it, and none stops it."""
    own = [statement for fact in (row.lead, *row.taken) for statement in record.valid_statements(fact)]
    ids = {statement.shared_id for statement in own}
    others = [
        found
        for conflict in row.lead.conflicts
        if conflict.kind == "status"
        for side in conflict.sides
        if ids.isdisjoint(side)
        for each in side
        if (found := record.statement(each))
    ]
    newest = max(statement.recorded_at for statement in own)
    return bool(others) and all(
        stated_status(each.content) == PAUSED_STATUS and each.recorded_at > newest for each in others
    )


def last_issued(record: SummaryRecord, row: MedicineRow) -> DateSpan | None:
    """When the medicine of a row was last issued or supplied; None if no source says so."""
    found = [known for written in _issue_dates(record, row) if (known := parse_date(written))]
    return max(found, key=lambda known: known.begin, default=None)


def last_given(record: SummaryRecord, row: MedicineRow) -> DateSpan | None:
    """When a dose of the medicine of a row was last given, as its source recorded; None if no source says so."""
    given = [each for each in row.issues if each.resource_type == "MedicationAdministration"]
    found = [known for each in given if (known := parse_date(supplied_on(record.shown(each).content)))]
    return max(found, key=lambda known: known.begin, default=None)


def _issue_dates(record: SummaryRecord, row: MedicineRow) -> Iterator[str]:
    for fact in row.issues:
        if fact.resource_type == "MedicationAdministration":
            continue
        for statement in record.valid_statements(fact):
            yield next(filter(None, (text_at(statement.content, name) for name in _DATES)), "")
    for fact in (row.lead, *row.taken):
        for statement in record.valid_statements(fact):
            yield from _stated_issues(statement)
            if row.issues and limited_supply(statement.content):
                yield text_at(statement.content, "authoredOn")


def _stated_issues(statement: Statement) -> Iterator[str]:
    for ending in _LAST_ISSUE:
        for extension in extensions(statement.content, ending):
            yield text_at(extension, "valueDateTime") or text_at(extension, "valueDate")
