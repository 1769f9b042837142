"""Names a medicine. One that is sent as a code only takes the words that another source has for the same code."""

from __future__ import annotations

from onestory.record.merge.model import Fact, Statement
from onestory.record.summary.model import SummaryRecord
from onestory.record.summary.wording import NO_MEDICINE_NAME, name_of
from onestory.shared.fhir.json import codes_of


def medicine_name(record: SummaryRecord, statement: Statement) -> str:
    """The name of the medicine of a statement; never empty, and never digits alone."""
    name = name_of(statement.content)
    if not name.startswith(NO_MEDICINE_NAME):
        return name
    for code in sorted(codes_of(statement.content, "medicationCodeableConcept")):
        if other := record.named_medicine_codes.get(code):
            return f"{name_of(other.content)} (sent as code {code[1]} only; named by {record.organisation_of(other)})"
    return name


def medicine_name_of(record: SummaryRecord, fact: Fact) -> str:
    """The name of the medicine of the statement that is shown for a fact."""
    return medicine_name(record, record.shown(fact))
