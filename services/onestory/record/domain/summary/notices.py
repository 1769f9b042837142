"""What heads a summary when there is cause: plans that disagree, a death, what is withheld, sources that are old."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.domain.summary import moments, sources
from onestory.record.domain.summary.heard import troubled
from onestory.record.domain.summary.narrative import listed, strong, text
from onestory.record.domain.summary.plans import disagreements
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.section import OWN, Section


def notices(record: Record) -> Section | None:
    """The section, or nothing where nothing has to be said first."""
    said = [*_plans(record), *_of_patient(record.patient), *_of_record(record)]
    return Section("notices", "Please note", listed(said), system=OWN) if said else None


def _plans(record: Record) -> Iterator[str]:
    for conflict in disagreements(record):
        yield f"{strong('Plans for emergency care disagree.')} {'<br/>'.join(sources.disagreement(record, conflict))}"


def _of_patient(patient: Mapping[str, Any]) -> Iterator[str]:
    died = patient.get("deceasedDateTime")
    if died or patient.get("deceasedBoolean") is True:
        on = f" on {text(moments.shown(died))}" if died else ""
        yield strong(f"This person is recorded as having died{on}.")
    links = patient.get("link")
    if isinstance(links, list) and any(isinstance(each, dict) and each.get("type") == "replaced-by" for each in links):
        yield strong("This NHS number was replaced by another one.")


def _of_record(record: Record) -> Iterator[str]:
    if record.known.withheld:
        yield "Some of this record is withheld from you. What is shown here may not be all that is known."
    if any(troubled(line) for line in record.known.freshness):
        yield "Some sources are silent, or statements of them are missing: see the sources at the end."
