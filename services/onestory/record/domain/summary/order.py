"""The sections of a summary in the order in which they are read: the person's own words and alerts come first."""

from __future__ import annotations

from collections.abc import Callable

from onestory.record.domain.summary.about_me import about_me
from onestory.record.domain.summary.alerts import alerts
from onestory.record.domain.summary.allergies import allergies
from onestory.record.domain.summary.also_held import also_held
from onestory.record.domain.summary.heard import sources_heard
from onestory.record.domain.summary.history import assessments, devices, immunisations, procedures
from onestory.record.domain.summary.medicines import medicines
from onestory.record.domain.summary.notices import notices
from onestory.record.domain.summary.plans import plan_of_care, plans
from onestory.record.domain.summary.problems import past_illness, problems
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.results import pregnancy, results, social_history, vital_signs
from onestory.record.domain.summary.section import Section

SECTIONS: tuple[Callable[[Record], Section | None], ...] = (
    notices,
    about_me,
    alerts,
    plans,
    allergies,
    medicines,
    problems,
    plan_of_care,
    results,
    vital_signs,
    immunisations,
    procedures,
    devices,
    pregnancy,
    social_history,
    assessments,
    past_illness,
    also_held,
    sources_heard,
)
