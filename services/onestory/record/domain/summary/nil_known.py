"""Where a source itself states that there is none: a List of its kind with the emptyReason `nilknown`.

It is a clinical statement, and is never computed from having found nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from onestory.record.domain.merge.fact import Fact
from onestory.record.domain.summary import sources
from onestory.record.domain.summary.narrative import strong
from onestory.record.domain.summary.plain import codes, first
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.reviewed import reviewed


def stated(record: Record, kind: str, known: Iterable[Fact]) -> list[str]:
    """Remarks (XHTML), one for each source that states it; `kind` is one of the reviewed lists.

    `known` is what others say that there is: beside it, sources disagree.
    """
    disagree = any(_names_something(record, fact) for fact in known)
    says = f"{strong('Sources disagree:')} none known" if disagree else "None known"
    of_this_kind = reviewed().lists[kind]
    remarks = []
    for fact in record.facts("List"):
        content = record.shown(fact).content
        says_nil = any(code == "nilknown" for _, code in codes(content, "emptyReason"))
        if says_nil and first(content, "status") in ("", "current") and codes(content, "code") & of_this_kind:
            remarks.append(f"{says}, as stated by {'; '.join(sources.in_words(record, fact))}")
    return remarks


def _names_something(record: Record, fact: Fact) -> bool:
    """Whether it says what there is, and not itself that there is none."""
    content = record.shown(fact).content
    said = codes(content, "code") | codes(content, "medicationCodeableConcept")
    return not said & reviewed().none_known
