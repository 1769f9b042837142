"""A clinician's "same": applied before every other rule, as `clinician-same`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onestory.record.domain.merge.clusters import Clusters
from onestory.record.domain.merge.fact import Certainty, Verdict
from onestory.record.domain.merge.judgement import Decided
from onestory.record.domain.merge.reading import Reading

RULE = "clinician-same"


def join(readings: Sequence[Reading], judgements: Decided, clusters: Clusters) -> None:
    """Joins what may be one line; what says no beside what says yes, and plans, stay lines of their own."""
    for one, other in _same(readings, judgements):
        if _joinable(one, other) and clusters.may(one.place, other.place, one_source=True, other_codes=True):
            clusters.join(one.place, other.place, RULE, Certainty.EXACT)


def beside(readings: Sequence[Reading], judgements: Decided) -> Iterator[tuple[Reading, Reading]]:
    """Those that a clinician calls the same and that cannot be one line."""
    return (pair for pair in _same(readings, judgements) if not _joinable(*pair))


def _same(readings: Sequence[Reading], judgements: Decided) -> Iterator[tuple[Reading, Reading]]:
    pairs = sorted(pair for pair, kind in judgements.items() if kind is Verdict.SAME)
    return ((readings[one], readings[other]) for one, other in pairs)


def _joinable(one: Reading, other: Reading) -> bool:
    return (
        one.said.resource_type == other.said.resource_type
        and one.negative is other.negative
        and not (one.withdrawn or other.withdrawn)
        and one.decision is None
        and other.decision is None
    )
