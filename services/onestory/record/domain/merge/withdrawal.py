"""What one source took back as entered in error, and another still says: it may have been copied from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onestory.record.domain.merge.conditions import NEAR
from onestory.record.domain.merge.contradiction import two_sided
from onestory.record.domain.merge.fact import Conflict
from onestory.record.domain.merge.likeness import Bucket, buckets
from onestory.record.domain.merge.reading import Reading
from onestory.record.domain.merge.when import span

_SAYS = "One source took this back as entered in error, another still says it."
_BY_CODE = ("AllergyIntolerance", "Condition")


def conflicts(readings: Sequence[Reading], named: Sequence[Bucket]) -> Iterator[Conflict]:
    """By identifier for every type, by code where a wrong entry is most likely to have been believed."""
    of_code = [each for each in readings if each.said.resource_type in _BY_CODE]
    for group in [*named, *buckets(of_code, lambda each: each.codes).values()]:
        taken_back = [each for each in group if each.withdrawn]
        if taken_back:
            standing = [each for each in group if not (each.withdrawn or each.negative)]
            yield from two_sided("withdrawn", _SAYS, standing, taken_back, _may_be_one)


def _may_be_one(one: Reading, other: Reading) -> bool:
    if one.source == other.source:
        return False
    mine, theirs = span(one.content.get("onsetDateTime")), span(other.content.get("onsetDateTime"))
    if mine is None or theirs is None or mine.day is None or theirs.day is None:
        return True
    return abs(mine.day - theirs.day) <= NEAR
