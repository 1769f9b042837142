"""A report that was sent brings its results, if its sender states them or sees the whole record."""

from __future__ import annotations

from uuid import UUID

from onestory.record.read.sent_content import content_with_parts
from onestory.record.read.store import CurrentEntry
from onestory.shared.policy import SentContent


def entry(kind: str, shared_id: str, content: bytes) -> CurrentEntry:
    """An entry of the sender."""
    return CurrentEntry("key", kind, shared_id, UUID(int=1), 0, None, None, None, "RX9", "pas", b"", content)


def test_a_sent_report_brings_the_results_of_its_sender() -> None:
    report = entry("DiagnosticReport", "report", b'{"result":[{"reference":"Observation/potassium"}]}')
    content = content_with_parts(SentContent(frozenset({("report", "RX9")}), knows_person=True), [report])

    assert content.has("potassium", "RX9")
    assert not content.has("potassium", "A81001")
    assert not content.has("sodium", "RX9")
    assert content.knows_person


def test_a_sender_with_the_record_brings_the_results_of_others() -> None:
    report = entry("DiagnosticReport", "report", b'{"result":[{"reference":"Observation/potassium"}]}')
    content = SentContent(frozenset({("report", "A81001")}), frozenset({"A81001"}))

    assert content_with_parts(content, [report]).has("potassium", "RX5")
