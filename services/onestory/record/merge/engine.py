"""One line for one fact, whoever said it (design section 6, "Merged view"). Pure, and the same for any order.

What clinicians judge comes first, then what an identifier says, then what each type's own rule finds alike. A pair that
is offered is joined unless the union would hold two statements of one source (other than by identifier or by a
clinician's word) or a pair that a clinician keeps apart. What says yes is never joined with what says no, plans are
never joined, and what is entered in error joins nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from onestory.record.merge import condition, judgement, pairs
from onestory.record.merge import conflicts as merge_conflicts
from onestory.record.merge.allergy_intolerance import Allergies
from onestory.record.merge.condition import Conditions
from onestory.record.merge.dates import span
from onestory.record.merge.immunization import Immunisations
from onestory.record.merge.judgement import Decided, decided, judged, kept_apart, verdict
from onestory.record.merge.medication import Medicines
from onestory.record.merge.model import Fact, FactConflict, Join, Merged, Statement
from onestory.record.merge.observation import Observations
from onestory.record.merge.pairs import Clusters, in_order
from onestory.record.merge.reading import Reading, StatementReader, one_of
from onestory.record.merge.rules import Rules
from onestory.record.merge.values import bare_codes, first, objects, text

# Which statement stands for a fact: the one that is safest to read first; the others stand behind it.
#
# What is there comes before what has gone, the worse before the milder, the surer before the less sure, then the
# newest.

_STANDING = {"current": 3, "": 2, "paused": 2, "completed": 1, "stopped": 1}
_CRITICALITY = {"high": 3, "unable-to-assess": 2, "low": 1}
_SEVERITY = {"severe": 3, "moderate": 2, "mild": 1}
_SURE = {"confirmed": 4, "unconfirmed": 2, "provisional": 2, "differential": 1, "refuted": 3}
_STATUS = {"corrected": 3, "amended": 3, "final": 2, "preliminary": 1, "registered": 0}


def standing_order(reading: Reading) -> tuple[Any, ...]:
    """The greatest is shown."""
    content, said = reading.content, reading.said
    return (
        not reading.withdrawn,
        3
        if reading.said.resource_type == "AllergyIntolerance" and not reading.standing
        else _STANDING[reading.standing],
        *_danger(reading),
        max((_SURE.get(code, 0) for code in bare_codes(content.get("verificationStatus"))), default=0),
        _STATUS.get(text(content.get("status")), 2),
        said.recorded_at,
        said.event_id,
        said.shared_id,
    )


def _danger(reading: Reading) -> tuple[int, int]:
    content = reading.content
    severities = (_SEVERITY.get(text(each.get("severity")), 0) for each in objects(content.get("reaction")))
    return _CRITICALITY.get(text(content.get("criticality")), 0), max(severities, default=0)


# Facts, drawn up from what was joined, what contradicts, and what is shown side by side.

Neighbours = Sequence[tuple[Reading, Reading]]


def facts(
    readings: Sequence[Reading], clusters: Clusters, conflicts: Sequence[FactConflict], beside: Neighbours
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
    group: Sequence[Reading], joins: Sequence[Join], about: dict[str, list[FactConflict]], beside: set[str] | None
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


def _by_statement(conflicts: Sequence[FactConflict]) -> dict[str, list[FactConflict]]:
    about: dict[str, list[FactConflict]] = {}
    for conflict in dict.fromkeys(conflicts):
        for side in conflict.sides:
            for shared_id in side:
                about.setdefault(shared_id, []).append(conflict)
    return about


def _neighbours(readings: Sequence[Reading], clusters: Clusters, beside: Neighbours) -> dict[int, set[str]]:
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


def merge(said: Iterable[Statement], rules: Rules) -> Merged:
    """The facts that these statements make. What comes twice counts once. Raises nothing, whatever the content."""
    every = _once(said)
    told = [each for each in every if verdict(each) is None]
    places = {each.shared_id: place for place, each in enumerate(told)}
    judgements = judged((each for each in every if each.shared_id not in places), places)
    reader = StatementReader(rules, told)
    readings = [reader.read(place, each) for place, each in enumerate(told)]
    return Merged(_facts(readings, decided(judgements, places), rules), judgements)


def _once(said: Iterable[Statement]) -> list[Statement]:
    """Each statement once, in the order of the ids."""
    latest: dict[str, Statement] = {}
    for each in said:
        known = latest.get(each.shared_id)
        if known is None or (each.recorded_at, each.event_id) > (known.recorded_at, known.event_id):
            latest[each.shared_id] = each
    return [latest[shared_id] for shared_id in sorted(latest)]


def _facts(readings: Sequence[Reading], judgements: Decided, rules: Rules) -> tuple[Fact, ...]:
    clusters = Clusters(readings, kept_apart(judgements))
    named = pairs.shared_identifiers(readings, rules)
    of_type = _by_type(readings)
    allergies = Allergies(of_type["AllergyIntolerance"], rules)
    conditions = Conditions(of_type["Condition"], rules)
    immunisations = Immunisations(of_type["Immunization"], rules)
    observations = Observations(of_type["Observation"], of_type["Specimen"], rules)
    medicines = Medicines(sorted([*of_type["MedicationRequest"], *of_type["MedicationStatement"]], key=in_order))

    judgement.join_judged(readings, judgements, clusters)
    pairs.join_identifiers(named, clusters)
    allergies.join(clusters)
    conditions.join(clusters)
    immunisations.join(clusters)
    medicines.join(clusters)
    observations.join(clusters)

    beside = [*judgement.beside(readings, judgements), *medicines.beside()]
    conflicts = [
        *pairs.identifier_conflicts(named, clusters),
        *allergies.conflicts(clusters),
        *conditions.conflicts(clusters),
        *immunisations.conflicts(clusters),
        *medicines.conflicts(clusters, beside),
        *observations.conflicts(clusters),
        *merge_conflicts.none_known_conflicts(readings),
        *condition.withdrawal_conflicts(readings, named),
        *merge_conflicts.plan_conflicts(readings),
    ]
    return facts(readings, clusters, conflicts, beside)


def _by_type(readings: Sequence[Reading]) -> defaultdict[str, list[Reading]]:
    found: defaultdict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        found[reading.said.resource_type].append(reading)
    return found
