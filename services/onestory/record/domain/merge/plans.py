"""Plans for an emergency (ReSPECT, DNACPR): never joined, all shown, and a conflict where current ones disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from onestory.record.domain.merge.contradiction import conflict
from onestory.record.domain.merge.fact import Conflict
from onestory.record.domain.merge.reading import Reading
from onestory.record.domain.merge.shape import text, worded

_DECISION = "Plans in force decide differently about resuscitation."
_WORDING = "Several plans are in force and are not worded alike: read each."
_OVER = ("stopped", "completed")


def conflicts(readings: Sequence[Reading]) -> Iterator[Conflict]:
    in_force = [each for each in readings if _in_force(each)]
    decided: dict[str, list[Reading]] = {}
    for each in in_force:
        if each.decision:
            decided.setdefault(each.decision, []).append(each)
    if len(decided) > 1:
        yield conflict("plan", _DECISION, *decided.values())
    for one, other in combinations(in_force, 2):
        alike = one.said.resource_type == other.said.resource_type
        if alike and not (one.decision and other.decision) and _wording(one) != _wording(other):
            yield conflict("plan-wording", _WORDING, [one], [other])


def _in_force(reading: Reading) -> bool:
    return reading.decision is not None and not reading.withdrawn and reading.standing not in _OVER


def _wording(reading: Reading) -> str:
    return worded(reading.content.get("description")) or worded(text(reading.content.get("title")))
