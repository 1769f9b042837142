"""Facts, drawn up from what was joined, what contradicts, and what is shown side by side."""

from __future__ import annotations

from collections.abc import Sequence

from onestory.record.domain.merge.clusters import Clusters
from onestory.record.domain.merge.fact import Conflict, Fact, Join
from onestory.record.domain.merge.reading import Reading, one_of
from onestory.record.domain.merge.shape import first, text
from onestory.record.domain.merge.shown import standing_order
from onestory.record.domain.merge.when import span

Beside = Sequence[tuple[Reading, Reading]]


def facts(
    readings: Sequence[Reading], clusters: Clusters, conflicts: Sequence[Conflict], beside: Beside
) -> tuple[Fact, ...]:
    """One fact for each cluster: plans first, newest first, then the rest by type and id."""
    about = _by_statement(conflicts)
    next_to = _neighbours(readings, clusters, beside)
    drawn = [
        _fact([readings[each] for each in members], clusters.joins.get(members[0], ()), about, next_to.get(members[0]))
        for members in clusters.every()
    ]
    plans = {reading.said.shared_id for reading in readings if reading.decision is not None}
    rest = [fact for fact in drawn if fact.id not in plans]
    newest = sorted((fact for fact in drawn if fact.id in plans), key=lambda fact: (fact.shown.recorded_at, fact.id))
    return (*reversed(newest), *sorted(rest, key=lambda fact: (fact.resource_type, fact.id)))


def _fact(
    group: Sequence[Reading], joins: Sequence[Join], about: dict[str, list[Conflict]], beside: set[str] | None
) -> Fact:
    least = group[0].said
    members = sorted(group, key=standing_order, reverse=True) if len(group) > 1 else group
    contradicted = {each for one in group for each in about.get(one.said.shared_id, ())} if about else ()
    return Fact(
        id=least.shared_id,
        resource_type=least.resource_type,
        members=tuple([each.said for each in members]),
        joins=tuple(joins),
        conflicts=tuple(sorted(contradicted, key=lambda each: (each.kind, each.sides))) if contradicted else (),
        beside=tuple(sorted(beside)) if beside else (),
        withdrawn=tuple([each.said.shared_id for each in group if each.withdrawn]),
        onset=_earliest_onset(group) if least.resource_type == "Condition" else "",
    )


def _by_statement(conflicts: Sequence[Conflict]) -> dict[str, list[Conflict]]:
    about: dict[str, list[Conflict]] = {}
    for conflict in dict.fromkeys(conflicts):
        for side in conflict.sides:
            for shared_id in side:
                about.setdefault(shared_id, []).append(conflict)
    return about


def _neighbours(readings: Sequence[Reading], clusters: Clusters, beside: Beside) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for one, other in beside:
        a, b = clusters.root(one.place), clusters.root(other.place)
        if a != b:
            found.setdefault(a, set()).add(readings[b].said.shared_id)
            found.setdefault(b, set()).add(readings[a].said.shared_id)
    return found


def _earliest_onset(group: Sequence[Reading]) -> str:
    stated = (
        one_of(each.content, "onsetDateTime") or first(each.content.get("onsetPeriod")).get("start") for each in group
    )
    dated = [(found.since, text(value)) for value in stated if (found := span(value))]
    return min(dated, default=(0, ""))[1]
