"""Writes the sources, conflicts and judgements of a fact: as words for the narrative, and as a FHIR extension.

A source can also state itself that there is none of a kind, by a List with the emptyReason `nilknown`. This is a
clinical statement; it is never concluded from finding nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.model import Fact, FactConflict, Judgement, Statement, Verdict
from onestory.record.summary import dates as summary_dates
from onestory.record.summary.clinical_dates import recorded_date
from onestory.record.summary.conflict_words import MAX_STATEMENTS_PER_SIDE, conflict_words, side_words
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.narrative import evidence, strong, text
from onestory.record.summary.places import summary_codes
from onestory.record.summary.wording import own_name
from onestory.shared.fhir.dates import format_instant, uk_day
from onestory.shared.fhir.json import codes_of, objects_at, text_at
from onestory.shared.identity import ODS_CODE_SYSTEM

_TOLD_AT_TOP = frozenset(["plan", "plan-ended", "plan-wording"])
"""Conflicts that the notices at the head of the summary tell once, in full."""
FACT_EXTENSION = "https://onestory.nhs.uk/StructureDefinition/summary-fact"
"""Extension on an entry of a section: `certainty`, `rule`s, `source`s and `conflict`s of its fact."""
_JUDGED = "clinician-same"


def source_paragraphs(record: SummaryRecord, fact: Fact) -> list[str]:
    """Paragraphs of XHTML: each source with its days, the rules that joined it, and judgements."""
    statements = record.valid_statements(fact)
    lines = [_line(record, statement, statements[0]) for statement in statements]
    valid_ids = {statement.shared_id for statement in statements}
    withdrawn = [statement for statement in fact.members if statement.shared_id not in valid_ids]
    lines += [f"{text(record.organisation_of(statement))} has withdrawn this" for statement in withdrawn]
    if len(fact.members) > 1:
        lines += [evidence(text(words)) for words in joined_words(fact)]
    return [*lines, *[evidence(_judgement(record, judgement)) for judgement in record.judgements(fact)]]


def joined_words(fact: Fact) -> list[str]:
    """Why the statements of a fact are one line, such as `Same product in both records (matched by computer)`.

    A judgement of a clinician has a line of its own.
    """
    words = _join_words()
    why = dict.fromkeys(words.get(rule, words["other"]) for rule in fact.rules if rule != _JUDGED)
    where = "both records" if len(fact.members) == 2 else "these records"
    return [f"{'; '.join(why)} in {where} (matched by computer)"] if why else []


@clinical_table
def _join_words() -> Mapping[str, str]:
    words: dict[str, str] = read_clinical_data("summary/join-words")
    return words


def conflict_paragraphs(
    record: SummaryRecord, fact: Fact, conflicts: Iterable[FactConflict] | None = None
) -> list[str]:
    """Paragraphs of XHTML: each conflict with all its sides. A stop or a denial comes before a dose.

    `conflicts` are some of the fact's; None: all. Conflicts between plans are told in the notices only.
    """
    found = fact.conflicts if conflicts is None else conflicts
    told_here = [conflict for conflict in found if conflict.kind not in _TOLD_AT_TOP]
    in_order = sorted(told_here, key=lambda conflict: conflict.kind not in ("negation", "status"))
    own = {statement.shared_id for statement in fact.members}
    return [line for conflict in in_order for line in conflict_words(record, conflict, own)]


def side_paragraphs(record: SummaryRecord, conflict: FactConflict) -> list[str]:
    """Paragraphs of XHTML: the explanation of a conflict, then each side."""
    return [text(conflict.explanation), *side_words(record, conflict)]


def fact_extension(record: SummaryRecord, fact: Fact) -> dict[str, Any]:
    """The sources and conflicts of a fact as a FHIR extension."""
    return {
        "url": FACT_EXTENSION,
        "extension": [
            {"url": "certainty", "valueCode": fact.certainty.value},
            *[{"url": "rule", "valueCode": rule} for rule in fact.rules],
            *[_source(record, statement) for statement in record.valid_statements(fact)],
            *[_conflict(record, conflict) for conflict in fact.conflicts],
        ],
    }


def referenced_ids(record: SummaryRecord, fact: Fact) -> list[str]:
    """The shared ids that a section refers to for a fact: the shown statement, and others that are in a conflict."""
    ids = [statement.shared_id for statement in record.valid_statements(fact)]
    if len(ids) == 1:
        return ids
    sides = {shared_id for conflict in fact.conflicts for side in conflict.sides for shared_id in side}
    return [ids[0], *[shared_id for shared_id in ids[1:] if shared_id in sides]]


def _judgement(record: SummaryRecord, judgement: Judgement) -> str:
    says = (
        "that these are the same" if judgement.verdict is Verdict.SAME else "that this is not the same as another line"
    )
    when = summary_dates.day(uk_day(judgement.statement.recorded_at))
    return f"A clinician of {text(record.organisation_of(judgement.statement))} judged {says}, {when}"


def _line(record: SummaryRecord, statement: Statement, shown: Statement) -> str:
    line = f"{text(record.organisation_of(statement))}, {text(recorded_and_sent(statement))}"
    if statement is not shown and (own := _other_words(own_name(statement.content), own_name(shown.content))):
        line += f", as “{text(own)}”"
    if record.may_be_anothers(statement):
        line += f": {strong('may be another person’s, see the top')}"
    until = record.former_until(statement)
    return f"{line}: {strong(f'former practice, until {summary_dates.day(until)}')}" if until else line


def _other_words(own: str, shown: str) -> str:
    """The name as a source has it; "" if it is the shown one, `… (TTO)` if it only adds to it."""
    if not shown or not own.casefold().startswith(shown.casefold()):
        return own
    added = own[len(shown) :].strip()
    if own[len(shown) :][:1].isalnum():
        return own
    return f"… {added}" if added else ""


def recorded_and_sent(statement: Statement) -> str:
    """When the statement was entered and when it was sent, such as `recorded 3 Apr 1998, sent 29 Nov 2026`.

    A day is stated once if both are the same.
    """
    sent, recorded = summary_dates.day(uk_day(statement.recorded_at)), recorded_date(statement)
    if not recorded:
        return f"sent {sent}"
    return f"recorded {recorded}" if recorded == sent else f"recorded {recorded}, sent {sent}"


def _source(record: SummaryRecord, statement: Statement) -> dict[str, Any]:
    until = record.former_until(statement)
    parts: list[dict[str, Any]] = [
        {"url": "organisation", "valueIdentifier": {"system": ODS_CODE_SYSTEM, "value": statement.organisation}},
        {"url": "system", "valueString": statement.system},
        {"url": "recorded", "valueInstant": format_instant(statement.recorded_at)},
        {"url": "statement", "valueId": statement.shared_id},
    ]
    if until:
        parts.append({"url": "formerPracticeUntil", "valueDate": until.isoformat()})
    return {"url": "source", "extension": parts}


def _conflict(record: SummaryRecord, conflict: FactConflict) -> dict[str, Any]:
    sides = [
        statement
        for side in conflict.sides
        for each in side[:MAX_STATEMENTS_PER_SIDE]
        if (statement := record.statement(each))
    ]
    return {
        "url": "conflict",
        "extension": [
            {"url": "kind", "valueCode": conflict.kind},
            {"url": "explanation", "valueString": conflict.explanation},
            *[{"url": "statement", "valueId": each.shared_id} for each in sides],
        ],
    }


def none_known_remarks(record: SummaryRecord, kind: str, known: Iterable[Fact]) -> list[str]:
    """Remarks (XHTML), one for each source whose List states that there is none.

    `kind` is a key of `SummaryCodes.lists`. `known` are the facts of that kind. If one of them names something, the
    sources disagree.
    """
    disagree = any(_names_something(record, fact) for fact in known)
    says = f"{strong('Sources disagree:')} none known" if disagree else "None known"
    of_this_kind = summary_codes().lists[kind]
    remarks = []
    for fact in record.facts("List"):
        content = record.shown(fact).content
        says_nil = any(code == "nilknown" for _, code in codes_of(content, "emptyReason"))
        if says_nil and text_at(content, "status") in ("", "current") and codes_of(content, "code") & of_this_kind:
            remarks.append(f"{says}: {'; '.join(source_paragraphs(record, fact))}")
    return remarks


def named_only_in_list(record: SummaryRecord, fact: Fact, kind: str) -> list[str]:
    """What a current List names in words only, without a resource that the record has. `kind` as above."""
    statement = record.shown(fact)
    is_current = text_at(statement.content, "status") in ("", "current")
    if not (is_current and codes_of(statement.content, "code") & summary_codes().lists[kind]):
        return []
    items = objects_at(statement.content, "entry", "item")
    named = {text_at(item, "display"): item for item in items if text_at(item, "display")}
    return [words for words, item in named.items() if not record.resolve(statement, item)]


def is_section_list(content: Mapping[str, Any]) -> bool:
    """Whether a List is a source's list of allergies, medicines or problems: the section shows what it lists."""
    return any(codes_of(content, "code") & codes for codes in summary_codes().lists.values())


def _names_something(record: SummaryRecord, fact: Fact) -> bool:
    """Whether a fact names something, and is not itself a "none known" statement."""
    content = record.shown(fact).content
    named_codes = codes_of(content, "code") | codes_of(content, "medicationCodeableConcept")
    return not named_codes & summary_codes().none_known
