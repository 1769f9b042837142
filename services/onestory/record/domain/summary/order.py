"""The sections of a summary in the order in which they are read."""

from __future__ import annotations

from collections.abc import Callable

from onestory.record.domain.summary.allergies import allergies
from onestory.record.domain.summary.medicines import medicines
from onestory.record.domain.summary.problems import past_illness, problems
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.section import Section

SECTIONS: tuple[Callable[[Record], Section | None], ...] = (
    allergies,
    medicines,
    problems,
    past_illness,
)
