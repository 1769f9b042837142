"""Plans for an emergency (ReSPECT, DNACPR): never joined, all shown, and a conflict where current ones disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
