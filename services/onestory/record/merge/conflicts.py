"""Builds the conflicts between statements. Conflicts are shown, never resolved by hiding a statement."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from datetime import date

from onestory.record.merge.model import FactConflict
from onestory.record.merge.qualifiers import FAMILY_HISTORY, HISTORY, REFUSED, RESOLVED
from onestory.record.merge.reading import Reading, first_present, titled_plan
from onestory.record.merge.values import bare_codes, worded
from onestory.shared.fhir.dates import parse_date, uk_day
from onestory.shared.fhir.json import Code, codes_of, text, text_at

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


_DECISION = "Plans in force decide differently about resuscitation."
_ENDED = "One source has ended a decision that another still holds as in force: check which counts."
_WORDING = "Several plans are in force with different wording: read each."
_OVER = ("stopped", "completed")
_AGREEING = {"cpr", "no-cpr-ended"}
"""Resuscitation is to be attempted, and no decision against it holds."""
_BEGIN = (
    "onsetDateTime",
    "effectiveDateTime",
    "performedDateTime",
    "dateTime",
    "date",
    "authoredOn",
    "authored",
    "sent",
    "created",
)


def plan_conflicts(readings: Sequence[Reading], coded: Collection[Code]) -> Iterator[FactConflict]:
    """Yields the conflicts between plans. `coded` are the codes of plans for an emergency."""
    plans = [reading for reading in readings if reading.plan_decision is not None]
    in_force = [reading for reading in plans if _in_force(reading)]
    by_decision: dict[str, list[Reading]] = {}
    for reading in in_force:
        if reading.plan_decision:
            by_decision.setdefault(reading.plan_decision, []).append(reading)
    if len(by_decision) > 1 and by_decision.keys() != _AGREEING:
        yield conflict("plan", _DECISION, *by_decision.values())
    yield from _ended(plans, in_force)
    yield from _wordings([reading for reading in in_force if _has_code(reading, coded)])


def _ended(plans: Sequence[Reading], in_force: Sequence[Reading]) -> Iterator[FactConflict]:
    kinds = {reading.ordinal: _kind(reading) for reading in plans}
    for kind in sorted({kinds[reading.ordinal] for reading in in_force} - {""}):
        stated = [reading for reading in in_force if kinds[reading.ordinal] == kind]
        renewed = {reading.source for reading in stated}
        over = [reading for reading in plans if kinds[reading.ordinal] == kind and _is_ended(reading)]
        # A source that has the decision in force again has replaced its own form, and ended nothing.
        ended = [reading for reading in over if reading.source not in renewed]
        ended += [reading for reading in over if reading.source in renewed and _was_revoked(reading)]
        against = [one for one in stated if any(_ends_after(one, each) for each in ended)]
        if against:
            sides = [each for each in ended if any(_ends_after(one, each) for one in against)]
            yield conflict("plan-ended", _ENDED, against, sides)


def _kind(reading: Reading) -> str:
    """What a plan is: its decision, or the title that it has in the words of the file; "" if it is of no known kind."""
    return reading.plan_decision or titled_plan(reading.content)


def _wordings(plans: Sequence[Reading]) -> Iterator[FactConflict]:
    for kind in sorted({reading.statement.resource_type for reading in plans}):
        by_wording: dict[str, list[Reading]] = {}
        for reading in plans:
            if reading.statement.resource_type == kind:
                by_wording.setdefault(_wording(reading), []).append(reading)
        uncoded = any(not reading.plan_decision for group in by_wording.values() for reading in group)
        if uncoded and len(by_wording) > 1:
            yield conflict("plan-wording", _WORDING, *by_wording.values())


def _in_force(reading: Reading) -> bool:
    refuted = "refuted" in bare_codes(reading.content.get("verificationStatus"))
    return not (_is_ended(reading) or refuted or reading.content.get("valueBoolean") is False)


def _is_ended(reading: Reading) -> bool:
    return reading.withdrawn or reading.phase in _OVER


def _was_revoked(reading: Reading) -> bool:
    return reading.content.get("status") == "revoked"


def _ends_after(in_force: Reading, ended: Reading) -> bool:
    """Whether a decision ended after the day from which another statement holds it."""
    return _end(ended) > _begin(in_force)


def _begin(reading: Reading) -> date:
    stated = text(first_present(reading.content, *_BEGIN)) or text_at(reading.content, "period", "start")
    known = parse_date(stated)
    return uk_day(known.begin if known else reading.statement.recorded_at)


def _end(reading: Reading) -> date:
    """The day on which a source ended its decision: the end of its period, or when it sent the new status."""
    known = parse_date(text_at(reading.content, "period", "end"))
    return uk_day(known.begin if known else reading.statement.recorded_at)


def _has_code(reading: Reading, coded: Collection[Code]) -> bool:
    elements = ("category", "type", "code", "scope", "valueCodeableConcept", "description")
    return any(
        code in coded for name in elements if name in reading.content for code in codes_of(reading.content, name)
    )


def _wording(reading: Reading) -> str:
    return worded(reading.content.get("description")) or worded(text(reading.content.get("title")))
