"""Builds the conflicts between statements. Conflicts are shown, never resolved by hiding a statement."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from onestory.record.merge.model import FactConflict
from onestory.record.merge.qualifiers import FAMILY_HISTORY, HISTORY, REFUSED, RESOLVED
from onestory.record.merge.reading import Reading
from onestory.record.merge.values import worded
from onestory.shared.fhir.json import text

_DECISION = "Plans in force decide differently about resuscitation."
_WORDING = "Several plans are in force with different wording: read each."
_OVER = ("stopped", "completed")


_NONE_KNOWN = "One source says that none is known, another names one."
# A "none known" of the first type also denies statements of these types.
_TYPES = {"MedicationStatement": {"MedicationStatement", "MedicationRequest"}}

# What is about the family, or was refused, is no allergy or problem of the person.
_NOT_OWN = (FAMILY_HISTORY, REFUSED, RESOLVED, HISTORY)

Contradicts = Callable[[Reading, Reading], bool]


def conflict(kind: str, explanation: str, *sides: Iterable[Reading]) -> FactConflict:
    """A conflict with the shared ids of each side, sorted."""
    named = (tuple(sorted(reading.statement.shared_id for reading in side)) for side in sides)
    return FactConflict(kind, explanation, tuple(sorted(named)))


def two_sided_conflict(
    kind: str, explanation: str, one: Sequence[Reading], other: Sequence[Reading], contradict: Contradicts
) -> Iterator[FactConflict]:
    """Yields at most one conflict, between the statements of two groups that contradict each other."""
    against = [b for b in other if any(contradict(a, b) for a in one)]
    if against:
        yield conflict(kind, explanation, [a for a in one if any(contradict(a, b) for b in against)], against)


def negation_conflict(explanation: str, bucket: Sequence[Reading], contradict: Contradicts) -> Iterator[FactConflict]:
    """Yields a conflict where a statement and its negation are in one bucket."""
    negative = [reading for reading in bucket if reading.negative]
    if negative and len(negative) < len(bucket):
        positive = [reading for reading in bucket if not reading.negative]
        yield from two_sided_conflict("negation", explanation, positive, negative, contradict)


def value_conflict(
    kind: str, explanation: str, group: Iterable[Reading], value_of: Callable[[Reading], Hashable]
) -> Iterator[FactConflict]:
    """Yields a conflict where the values of a group differ. A statement without a value (None) is on no side."""
    sides: dict[Hashable, list[Reading]] = {}
    for reading in group:
        if (value := value_of(reading)) is not None:
            sides.setdefault(value, []).append(reading)
    if len(sides) > 1:
        yield conflict(kind, explanation, *sides.values())


def none_known_conflicts(readings: Sequence[Reading]) -> Iterator[FactConflict]:
    """Yields conflicts between "none known" and statements that name something.

    There is one conflict for each type: all denials on one side, all that they deny on the other. Allergies have
    categories, so their own module finds these conflicts.
    """
    denials: dict[str, list[Reading]] = {}
    for reading in readings:
        kind = reading.statement.resource_type
        if reading.none_known is not None and not reading.withdrawn and kind != "AllergyIntolerance":
            denials.setdefault(kind, []).append(reading)
    for kind, group in denials.items():
        types = _TYPES.get(kind, {kind})
        denied = [reading for reading in readings if reading.statement.resource_type in types and _is_denied(reading)]
        if denied:
            yield conflict("none-known", _NONE_KNOWN, group, denied)


def _is_denied(reading: Reading) -> bool:
    """Whether the statement says that something is current, so that a denial contradicts it."""
    if reading.negative or reading.withdrawn or reading.qualifier in _NOT_OWN:
        return False
    if reading.statement.resource_type == "Condition":
        # Without a status, the condition is over only if an abatement is stated.
        return reading.phase == "current" or not (reading.phase or _has_ended(reading))
    return reading.phase in ("current", "paused")


def _has_ended(reading: Reading) -> bool:
    return any(name.startswith("abatement") for name in reading.content)


def plan_conflicts(readings: Sequence[Reading]) -> Iterator[FactConflict]:
    """Yields conflicts between emergency plans in force (ReSPECT, DNACPR).

    Plans are never joined. They conflict when their decisions differ, or when their wording differs and a plan
    carries no coded decision.
    """
    in_force = [reading for reading in readings if _in_force(reading)]
    by_decision: dict[str, list[Reading]] = {}
    for reading in in_force:
        if reading.plan_decision:
            by_decision.setdefault(reading.plan_decision, []).append(reading)
    if len(by_decision) > 1:
        yield conflict("plan", _DECISION, *by_decision.values())
    for kind in sorted({reading.statement.resource_type for reading in in_force}):
        by_wording: dict[str, list[Reading]] = {}
        for reading in in_force:
            if reading.statement.resource_type == kind:
                by_wording.setdefault(_wording(reading), []).append(reading)
        uncoded = any(not reading.plan_decision for group in by_wording.values() for reading in group)
        if uncoded and len(by_wording) > 1:
            yield conflict("plan-wording", _WORDING, *by_wording.values())


def _in_force(reading: Reading) -> bool:
    return reading.plan_decision is not None and not reading.withdrawn and reading.phase not in _OVER


def _wording(reading: Reading) -> str:
    return worded(reading.content.get("description")) or worded(text(reading.content.get("title")))
