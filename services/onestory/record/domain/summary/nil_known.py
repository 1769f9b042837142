"""Where a source itself states that there is none: a List of its kind with the emptyReason `nilknown`.

It is a clinical statement, and is never computed from having found nothing.
"""

from __future__ import annotations

from onestory.record.domain.summary import sources
from onestory.record.domain.summary.narrative import text
from onestory.record.domain.summary.plain import codes, first
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.reviewed import reviewed


def stated(record: Record, kind: str) -> list[str]:
    """Remarks (XHTML), one for each source that states it; `kind` is one of the reviewed lists."""
    of_this_kind = reviewed().lists[kind]
    remarks = []
    for fact in record.facts("List"):
        content = record.shown(fact).content
        says_nil = any(code == "nilknown" for _, code in codes(content, "emptyReason"))
        if says_nil and first(content, "status") in ("", "current") and codes(content, "code") & of_this_kind:
            remarks.append(f"{text('None known, as stated by')} {'; '.join(sources.in_words(record, fact))}")
    return remarks
