"""Merges the statements of one person into facts. Pure code; the result does not depend on the order of statements.

Joins are tried in this order: judgements of clinicians, then shared identifiers, then the rule of each resource type.
A pair is not joined if the fact would then hold two statements of one source; only identifiers and judgements may join
those. It is also not joined if the fact would hold a pair that a clinician keeps apart. A statement and its negation
are never joined. Emergency plans and statements that are entered in error are never joined with anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from onestory.record.merge import condition, judgement, pairs
from onestory.record.merge import conflicts as merge_conflicts
from onestory.record.merge.allergy_intolerance import Allergies
from onestory.record.merge.allergy_reading import types_with_allergies
from onestory.record.merge.condition import Conditions
from onestory.record.merge.conflicts import plan_conflicts
from onestory.record.merge.immunization import Immunisations
from onestory.record.merge.ingredients import IngredientGroups
from onestory.record.merge.judgement import Verdicts, kept_apart, latest_verdicts, read_judgements, verdict_of
from onestory.record.merge.lookup import DirectoryContents, ResourceLookup, with_named_medicines
from onestory.record.merge.medication import Medicines, issues_of_plans
from onestory.record.merge.model import Fact, FactConflict, Join, MergedRecord, Statement
from onestory.record.merge.observation import Observations, with_usual_units
from onestory.record.merge.pairs import Clusters, by_ordinal
from onestory.record.merge.reading import Reading, StatementReader, first_present
from onestory.record.merge.report import Reports, correction_conflicts
from onestory.record.merge.rules import MergeRules
from onestory.record.merge.supplies import supply_conflicts
from onestory.record.merge.values import bare_codes, microseconds, span, worded
from onestory.shared.fhir.json import first_object, objects, text

_MEDICINE_TYPES = ("MedicationRequest", "MedicationStatement")
RelatedPairs = Sequence[tuple[Reading, Reading]]

# Ranks for the choice of the statement that is shown for a fact. The safest to read first has the greatest rank:
# present before past, more severe before milder, more certain before less certain, then the newest.
_PHASE = {"current": 3, "": 2, "paused": 2, "completed": 1, "stopped": 1}
_CRITICALITY = {"high": 3, "unable-to-assess": 2, "low": 1}
_SEVERITY = {"severe": 3, "moderate": 2, "mild": 1}
_VERIFICATION = {"confirmed": 4, "unconfirmed": 2, "provisional": 2, "differential": 1, "refuted": 3}
# The dates of a statement, the most telling first.
_RECORDED = ("recordedDate", "authoredOn", "dateAsserted", "issued", "effectiveDateTime", "performedDateTime", "date")
_STATUS = {"corrected": 3, "amended": 3, "final": 2, "preliminary": 1, "registered": 0}


def merge(
    statements: Iterable[Statement], rules: MergeRules, directory: DirectoryContents = MappingProxyType({})
) -> MergedRecord:
    """The facts that the statements form. Duplicates of a shared id count once, the newest. Never raises.

    `directory` has the directory resources that the statements refer to.
    """
    stated = _newest_versions(statements)
    newest = with_named_medicines(stated, ResourceLookup(stated, directory))
    clinical = [statement for statement in newest if verdict_of(statement) is None]
    ordinals = {statement.shared_id: ordinal for ordinal, statement in enumerate(clinical)}
    judgements = read_judgements((each for each in newest if each.shared_id not in ordinals), ordinals)
    reader = StatementReader(rules)
    readings = [reader.read(ordinal, statement) for ordinal, statement in enumerate(clinical)]
    return MergedRecord(_merge_readings(readings, latest_verdicts(judgements, ordinals), rules), judgements)


def _newest_versions(statements: Iterable[Statement]) -> list[Statement]:
    """One statement for each shared id, the newest, sorted by shared id."""
    latest: dict[str, Statement] = {}
    for statement in statements:
        known = latest.get(statement.shared_id)
        if known is None or (statement.recorded_at, statement.event_id) > (known.recorded_at, known.event_id):
            latest[statement.shared_id] = statement
    return [latest[shared_id] for shared_id in sorted(latest)]


def _merge_readings(readings: Sequence[Reading], verdicts: Verdicts, rules: MergeRules) -> tuple[Fact, ...]:
    clusters = Clusters(readings, kept_apart(verdicts))
    by_identifier = pairs.shared_identifiers(readings, rules)
    of_type = _by_type(readings)
    elsewhere = [reading for kind in types_with_allergies() for reading in of_type[kind]]
    allergies = Allergies(of_type["AllergyIntolerance"], sorted(elsewhere, key=by_ordinal), rules)
    conditions = Conditions(of_type["Condition"], rules)
    immunisations = Immunisations(of_type["Immunization"], rules)
    observations = Observations(of_type["Observation"], of_type["Specimen"], rules)
    reports = Reports(of_type["DiagnosticReport"])
    medicines = Medicines(sorted([*of_type["MedicationRequest"], *of_type["MedicationStatement"]], key=by_ordinal))
    groups = IngredientGroups(medicines)

    judgement.join_judged(readings, verdicts, clusters)
    pairs.join_identifiers(by_identifier, clusters)
    allergies.join(clusters)
    conditions.join(clusters)
    immunisations.join(clusters)
    medicines.join(clusters)
    observations.join(clusters)
    reports.join(clusters)

    related_pairs = [
        *judgement.related_pairs(readings, verdicts),
        *conditions.related_pairs(),
        *medicines.related_pairs(),
    ]
    conflicts = [
        *pairs.identifier_conflicts(by_identifier, clusters),
        *allergies.conflicts(clusters),
        *conditions.conflicts(clusters),
        *immunisations.conflicts(clusters),
        *medicines.conflicts(clusters, related_pairs),
        *groups.conflicts(clusters, related_pairs),
        *supply_conflicts(of_type["MedicationDispense"], groups, medicines),
        *observations.conflicts(clusters),
        *correction_conflicts([*of_type["Observation"], *of_type["DiagnosticReport"]], clusters, rules),
        *merge_conflicts.none_known_conflicts(readings),
        *condition.withdrawal_conflicts(readings, by_identifier),
        *plan_conflicts(readings, rules.plans),
    ]
    facts = with_usual_units(_build_facts(readings, clusters, conflicts, related_pairs), rules)
    return _with_medicine_groups(facts, readings, groups) if medicines.readings else facts


def _with_medicine_groups(
    facts: tuple[Fact, ...], readings: Sequence[Reading], groups: IngredientGroups
) -> tuple[Fact, ...]:
    """The facts; those of medicines have the key of their ingredient and, for a repeat, its issues."""
    ordinals = {reading.statement.shared_id: reading.ordinal for reading in readings}
    issues = issues_of_plans(readings)

    def grouped(fact: Fact) -> Fact:
        members = [ordinals[each.shared_id] for each in fact.members]
        key = next((found for ordinal in members if (found := groups.key(ordinal))), "")
        own = sorted(each.statement.shared_id for ordinal in members for each in issues.get(ordinal, ()))
        return msgspec.structs.replace(fact, medicine=key, issues=tuple(own)) if key or own else fact

    return tuple([grouped(fact) if fact.resource_type in _MEDICINE_TYPES else fact for fact in facts])


def _by_type(readings: Sequence[Reading]) -> defaultdict[str, list[Reading]]:
    of_type: defaultdict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        of_type[reading.statement.resource_type].append(reading)
    return of_type


def _build_facts(
    readings: Sequence[Reading], clusters: Clusters, conflicts: Sequence[FactConflict], related_pairs: RelatedPairs
) -> tuple[Fact, ...]:
    """Builds one fact for each cluster: emergency plans first, newest first, then the rest by type and id."""
    conflicts_of = _conflicts_by_statement(conflicts)
    related = _related_by_cluster(readings, clusters, related_pairs)
    plans: list[Fact] = []
    of_type: dict[str, list[Fact]] = {}
    for members in clusters.all_members():
        root = members[0]
        group = [readings[ordinal] for ordinal in members]
        fact = _build_fact(group, clusters.joins.get(root, ()), conflicts_of, related.get(root))
        if readings[root].plan_decision is not None:
            plans.append(fact)
        else:
            of_type.setdefault(fact.resource_type, []).append(fact)
    plans.sort(key=lambda fact: (fact.shown.recorded_at, fact.id), reverse=True)
    # Clusters come in the order of their smallest ids.
    return (*plans, *[fact for kind in sorted(of_type) for fact in of_type[kind]])


def _build_fact(
    group: Sequence[Reading],
    joins: Sequence[Join],
    conflicts_of: dict[str, list[FactConflict]],
    related: set[str] | None,
) -> Fact:
    first_by_id = group[0].statement
    members = sorted(group, key=display_order, reverse=True) if len(group) > 1 else group
    conflicts = (
        {conflict for reading in group for conflict in conflicts_of.get(reading.statement.shared_id, ())}
        if conflicts_of
        else ()
    )
    return Fact(
        id=first_by_id.shared_id,
        resource_type=first_by_id.resource_type,
        members=tuple([reading.statement for reading in members]),
        joins=tuple(joins),
        conflicts=tuple(sorted(conflicts, key=lambda conflict: (conflict.kind, conflict.sides))) if conflicts else (),
        related=tuple(sorted(related)) if related else (),
        withdrawn=tuple([reading.statement.shared_id for reading in group if reading.withdrawn]),
        onset=_earliest_onset(group) if first_by_id.resource_type == "Condition" else "",
    )


def display_order(reading: Reading) -> tuple[Any, ...]:
    """The sort key of a statement within its fact; the greatest is shown."""
    content, statement = reading.content, reading.statement
    return (
        not reading.withdrawn,
        # An allergy without a status counts as current.
        3 if statement.resource_type == "AllergyIntolerance" and not reading.phase else _PHASE[reading.phase],
        *_severity(content),
        max((_VERIFICATION.get(code, 0) for code in bare_codes(content.get("verificationStatus"))), default=0),
        _STATUS.get(text(content.get("status")), 2),
        bool(reading.codes),
        _clinically_recorded(reading),
        _has_words_of_code(content),
        statement.recorded_at,
        statement.event_id,
        statement.shared_id,
    )


def _clinically_recorded(reading: Reading) -> int:
    """When the source recorded the statement, in microseconds: not when it sent the statement, if it says so."""
    stated = next((known for name in _RECORDED if (known := span(reading.content.get(name)))), None)
    return stated.since if stated else microseconds(reading.statement.recorded_at)


def _has_words_of_code(content: Mapping[str, Any]) -> bool:
    """Whether a statement is named by its code alone: its text, if it has one, is the display of a coding."""
    named = first_object(content.get("code"))
    displays = {worded(coding.get("display")) for coding in objects(named.get("coding"))}
    return worded(named.get("text")) in displays | {""}


def _severity(content: Mapping[str, Any]) -> tuple[int, int]:
    """The ranks of the criticality and of the most severe reaction of an allergy."""
    severities = (_SEVERITY.get(text(reaction.get("severity")), 0) for reaction in objects(content.get("reaction")))
    return _CRITICALITY.get(text(content.get("criticality")), 0), max(severities, default=0)


def _conflicts_by_statement(conflicts: Sequence[FactConflict]) -> dict[str, list[FactConflict]]:
    """The conflicts of each shared id; duplicates are removed."""
    by_id: dict[str, list[FactConflict]] = {}
    for conflict in dict.fromkeys(conflicts):
        for side in conflict.sides:
            for shared_id in side:
                by_id.setdefault(shared_id, []).append(conflict)
    return by_id


def _related_by_cluster(
    readings: Sequence[Reading], clusters: Clusters, related_pairs: RelatedPairs
) -> dict[int, set[str]]:
    """The ids of related facts for each cluster root."""
    related: dict[int, set[str]] = {}
    for one, other in related_pairs:
        a, b = clusters.root(one.ordinal), clusters.root(other.ordinal)
        if a != b:
            related.setdefault(a, set()).add(readings[b].statement.shared_id)
            related.setdefault(b, set()).add(readings[a].statement.shared_id)
    return related


def _earliest_onset(group: Sequence[Reading]) -> str:
    """The onset that begins first, as it is written; "" if none is stated."""
    stated = (
        first_present(reading.content, "onsetDateTime") or first_object(reading.content.get("onsetPeriod")).get("start")
        for reading in group
    )
    dated = [(onset.since, text(value)) for value in stated if (onset := span(value))]
    return min(dated, default=(0, ""))[1]
