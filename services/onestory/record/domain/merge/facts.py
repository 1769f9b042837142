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
    plans: list[Fact] = []
    of_type: dict[str, list[Fact]] = {}
    for members in clusters.every():
        least = members[0]
        group = [readings[each] for each in members]
        fact = _fact(group, clusters.joins.get(least, ()), about, next_to.get(least))
        if readings[least].decision is not None:
            plans.append(fact)
        else:
            of_type.setdefault(fact.resource_type, []).append(fact)
    plans.sort(key=lambda fact: (fact.shown.recorded_at, fact.id), reverse=True)
    # Clusters come in the order of their least ids.
    return (*plans, *[fact for kind in sorted(of_type) for fact in of_type[kind]])


def _fact(
    group: Sequence[Reading], joins: Sequence[Join], about: dict[str, list[Conflict]], beside: set[str] | None
) -> Fact:
    named = group[0].said
    members = sorted(group, key=standing_order, reverse=True) if len(group) > 1 else group
    contradicted = {each for one in group for each in about.get(one.said.shared_id, ())} if about else ()
    return Fact(
        id=named.shared_id,
        resource_type=named.resource_type,
        members=tuple([each.said for each in members]),
        joins=tuple(joins),
        conflicts=tuple(sorted(contradicted, key=lambda each: (each.kind, each.sides))) if contradicted else (),
        beside=tuple(sorted(beside)) if beside else (),
        withdrawn=tuple([each.said.shared_id for each in group if each.withdrawn]),
        onset=_earliest_onset(group) if named.resource_type == "Condition" else "",
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
