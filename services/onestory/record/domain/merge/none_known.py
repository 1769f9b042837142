""" "None known" beside what somebody knows: a conflict, of every type that has such codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onestory.record.domain.merge.contradiction import conflict
from onestory.record.domain.merge.fact import Conflict
from onestory.record.domain.merge.reading import Reading

_SAYS = "One says that nothing of the kind is known, another names something."
# What also answers to the type that says that there is none.
_TYPES = {"MedicationStatement": {"MedicationStatement", "MedicationRequest"}}


def conflicts(readings: Sequence[Reading]) -> Iterator[Conflict]:
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
