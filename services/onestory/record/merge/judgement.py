"""Judgements of clinicians: these statements are the same, or they must be kept apart.

"Same" is a Linkage (http://hl7.org/fhir/R4/linkage.html). "Keep apart" is a Basic with a OneStory code, whose
extensions name the statements. Both are published like any other statement, so they survive a rebuild, and a
retraction undoes them. "Same" is applied before every other rule, as rule `clinician-same`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from onestory.record.merge.model import Certainty, Judgement, Statement, Verdict
from onestory.record.merge.pairs import Clusters
from onestory.record.merge.reading import Reading
from onestory.record.merge.values import codes, reference_id
from onestory.shared.fhir.json import objects
from onestory.shared.identity import parse_shared_id

JUDGEMENT_SYSTEM = "https://onestory.nhs.uk/CodeSystem/record-judgement"
KEEP_APART = "keep-apart"
MAX_STATEMENTS = 100
"""Statements that one judgement may name. No person can judge more; a larger judgement is stored but not applied."""
KEPT_APART = "https://onestory.nhs.uk/StructureDefinition/kept-apart"


RULE = "clinician-same"

Pair = tuple[int, int]
Verdicts = Mapping[Pair, Verdict]
"""For each pair of ordinals, in ascending order, the verdict of its newest judgement."""


def verdict_of(statement: Statement) -> Verdict | None:
    """The verdict of a statement that is a judgement; None for any other statement."""
    if statement.resource_type == "Linkage":
        return Verdict.SAME
    code = (JUDGEMENT_SYSTEM, KEEP_APART)
    if statement.resource_type == "Basic" and code in codes(statement.content.get("code"), {}):
        return Verdict.APART
    return None


def read_judgements(statements: Iterable[Statement], ordinals: Mapping[str, int]) -> tuple[Judgement, ...]:
    """The judgements among the statements, oldest first.

    A judgement names only statements that are in `ordinals`, so it reveals nothing hidden. It may name a
    statement under another identity of the person, such as the one before the NHS number was known.
    """
    judged = [(statement, verdict) for statement in statements if (verdict := verdict_of(statement))]
    by_resource = {_resource(shared_id): shared_id for shared_id in sorted(ordinals)} if judged else {}
    oldest_first = sorted(
        judged,
        key=lambda judged: (judged[0].recorded_at, judged[0].event_id, judged[0].shared_id),
    )
    return tuple(
        Judgement(statement, verdict, _visible_ids(_judged_ids(statement, verdict), ordinals, by_resource))
        for statement, verdict in oldest_first
    )


def latest_verdicts(judgements: Sequence[Judgement], ordinals: Mapping[str, int]) -> dict[Pair, Verdict]:
    """The verdict of the newest active judgement for each pair of ordinals."""
    newest: dict[Pair, Verdict] = {}
    for judgement in judgements:
        if judgement.statement.content.get("active") is not False and len(judgement.statement_ids) <= MAX_STATEMENTS:
            judged = sorted(ordinals[shared_id] for shared_id in judgement.statement_ids)
            newest.update(dict.fromkeys(combinations(judged, 2), judgement.verdict))
    return newest


def kept_apart(verdicts: Verdicts) -> dict[int, set[int]]:
    """For each ordinal, the ordinals that must never be in the same fact."""
    apart: dict[int, set[int]] = {}
    for (one, other), verdict in verdicts.items():
        if verdict is Verdict.APART:
            apart.setdefault(one, set()).add(other)
            apart.setdefault(other, set()).add(one)
    return apart


def _visible_ids(
    judged_ids: Iterable[str], ordinals: Collection[str], by_resource: Mapping[str, str]
) -> tuple[str, ...]:
    found = (each if each in ordinals else by_resource.get(_resource(each)) for each in judged_ids)
    return tuple(sorted({shared_id for shared_id in found if shared_id is not None}))


def _resource(shared_id: str) -> str:
    """The part of a shared id that is the same under every identity of a person."""
    parts = parse_shared_id(shared_id)
    return parts.resource_hash if parts else shared_id


def _judged_ids(statement: Statement, verdict: Verdict) -> set[str]:
    return set(_ids_in_linkage(statement) if verdict is Verdict.SAME else _ids_kept_apart(statement))


def _ids_in_linkage(statement: Statement) -> Iterator[str]:
    return (reference_id(item.get("resource")) for item in objects(statement.content.get("item")))


def _ids_kept_apart(statement: Statement) -> Iterator[str]:
    extensions = objects(statement.content.get("extension"))
    return (reference_id(each.get("valueReference")) for each in extensions if each.get("url") == KEPT_APART)


def join_judged(readings: Sequence[Reading], verdicts: Verdicts, clusters: Clusters) -> None:
    """Joins the pairs that clinicians judged the same, except plans and pairs of a statement and its negation."""
    for one, other in _judged_same(readings, verdicts):
        if not _can_be_one_fact(one, other):
            continue
        if clusters.can_join(one.ordinal, other.ordinal, allow_same_source=True, ignore_codes=True):
            clusters.join(one.ordinal, other.ordinal, RULE, Certainty.EXACT)


def related_pairs(readings: Sequence[Reading], verdicts: Verdicts) -> Iterator[tuple[Reading, Reading]]:
    """Pairs that clinicians judged the same but that cannot be one fact."""
    return (pair for pair in _judged_same(readings, verdicts) if not _can_be_one_fact(*pair))


def _judged_same(readings: Sequence[Reading], verdicts: Verdicts) -> Iterator[tuple[Reading, Reading]]:
    pairs = sorted(pair for pair, verdict in verdicts.items() if verdict is Verdict.SAME)
    return ((readings[one], readings[other]) for one, other in pairs)


def _can_be_one_fact(one: Reading, other: Reading) -> bool:
    return (
        one.statement.resource_type == other.statement.resource_type
        and one.negative is other.negative
        and not (one.withdrawn or other.withdrawn)
        and one.plan_decision is None
        and other.plan_decision is None
    )
