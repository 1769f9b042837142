"""Conflicts: who stands on which side. Shown, never resolved by hiding."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from onestory.record.merge.model import FactConflict
from onestory.record.merge.reading import Reading
from onestory.record.merge.values import text, worded

Clash = Callable[[Reading, Reading], bool]


def conflict(kind: str, explanation: str, *sides: Iterable[Reading]) -> FactConflict:
    """A conflict with its sides in the order of their ids."""
    named = (tuple(sorted(reading.said.shared_id for reading in side)) for side in sides)
    return FactConflict(kind, explanation, tuple(sorted(named)))


def two_sided(
    kind: str, explanation: str, one: Sequence[Reading], other: Sequence[Reading], clash: Clash
) -> Iterator[FactConflict]:
    """At most one conflict: of those on either side that clash with someone on the other."""
    against = [b for b in other if any(clash(a, b) for a in one)]
    if against:
        yield conflict(kind, explanation, [a for a in one if any(clash(a, b) for b in against)], against)


def opposed(explanation: str, bucket: Sequence[Reading], clash: Clash) -> Iterator[FactConflict]:
    """What is said beside its negation."""
    negative = [reading for reading in bucket if reading.negative]
    if negative and len(negative) < len(bucket):
        positive = [reading for reading in bucket if not reading.negative]
        yield from two_sided("negation", explanation, positive, negative, clash)


def differing(
    kind: str, explanation: str, group: Iterable[Reading], said: Callable[[Reading], Hashable]
) -> Iterator[FactConflict]:
    """A conflict where those of a group say different things; what says nothing (None) is on no side."""
    sides: dict[Hashable, list[Reading]] = {}
    for reading in group:
        if (value := said(reading)) is not None:
            sides.setdefault(value, []).append(reading)
    if len(sides) > 1:
        yield conflict(kind, explanation, *sides.values())


# "None known" beside what somebody knows: a conflict, of every type that has such codes.

_SAYS = "One says that nothing of the kind is known, another names something."
# What also answers to the type that says that there is none.
_TYPES = {"MedicationStatement": {"MedicationStatement", "MedicationRequest"}}


def none_known_conflicts(readings: Sequence[Reading]) -> Iterator[FactConflict]:
    """One conflict for each kind of denial: all who say it on one side, all that it denies on the other."""
    denials: dict[tuple[str, frozenset[str]], list[Reading]] = {}
    for each in readings:
        if each.none_known is not None and not each.withdrawn:
            denials.setdefault((each.said.resource_type, each.none_known), []).append(each)
    for (kind, categories), group in denials.items():
        types = _TYPES.get(kind, {kind})
        denied = [each for each in readings if each.said.resource_type in types and _stands(each, categories)]
        if denied:
            yield conflict("none-known", _SAYS, group, denied)


def _stands(reading: Reading, categories: frozenset[str]) -> bool:
    if reading.negative or reading.withdrawn:
        return False
    if reading.said.resource_type == "AllergyIntolerance":
        return reading.standing != "completed" and _in(reading, categories)
    if reading.said.resource_type == "Condition":
        # Without a status only an end says that it is over.
        return reading.standing == "current" or not (reading.standing or _has_ended(reading))
    return reading.standing in ("current", "paused")


def _has_ended(reading: Reading) -> bool:
    return any(name.startswith("abatement") for name in reading.content)


def _in(reading: Reading, categories: frozenset[str]) -> bool:
    """Whether a denial of these categories speaks of it; an allergy of no category may be of any."""
    said = reading.content.get("category")
    own = {each for each in said if isinstance(each, str)} if isinstance(said, list) else set()
    return not categories or not own or not categories.isdisjoint(own)


# Plans for an emergency (ReSPECT, DNACPR): never joined, all shown, and a conflict where current ones disagree.

_DECISION = "Plans in force decide differently about resuscitation."
_WORDING = "Several plans are in force and are not worded alike: read each."
_OVER = ("stopped", "completed")


def plan_conflicts(readings: Sequence[Reading]) -> Iterator[FactConflict]:
    in_force = [each for each in readings if _in_force(each)]
    decided: dict[str, list[Reading]] = {}
    for each in in_force:
        if each.decision:
            decided.setdefault(each.decision, []).append(each)
    if len(decided) > 1:
        yield conflict("plan", _DECISION, *decided.values())
    for kind in sorted({each.said.resource_type for each in in_force}):
        worded_as: dict[str, list[Reading]] = {}
        for each in in_force:
            if each.said.resource_type == kind:
                worded_as.setdefault(_wording(each), []).append(each)
        undecided = any(not each.decision for said in worded_as.values() for each in said)
        if undecided and len(worded_as) > 1:
            yield conflict("plan-wording", _WORDING, *worded_as.values())


def _in_force(reading: Reading) -> bool:
    return reading.decision is not None and not reading.withdrawn and reading.standing not in _OVER


def _wording(reading: Reading) -> str:
    return worded(reading.content.get("description")) or worded(text(reading.content.get("title")))
