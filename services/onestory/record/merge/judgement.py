"""What clinicians judge of statements: that several are the same, or that they are to be kept apart.

"Same" is a Linkage (http://hl7.org/fhir/R4/linkage.html); "keep apart" is a Basic with our code, whose extensions name
the statements. Both are published like everything else, so they survive a rebuild and are undone by their retraction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from onestory.record.merge.model import Certainty, Judgement, Statement, Verdict
from onestory.record.merge.pairs import Clusters
from onestory.record.merge.reading import Reading
from onestory.record.merge.values import codes, objects, reference_id
from onestory.shared.identity import parse_shared_id

JUDGEMENT_SYSTEM = "https://onestory.nhs.uk/CodeSystem/record-judgement"
KEEP_APART = "keep-apart"
MOST = 100
"""Statements that one judgement may speak of. Nobody can have judged more; such a judgement is kept and not applied."""
KEPT_APART = "https://onestory.nhs.uk/StructureDefinition/kept-apart"

Pair = tuple[int, int]
Decided = Mapping[Pair, Verdict]
"""For each pair of places, in order, what the newest judgement of it says."""


def verdict(said: Statement) -> Verdict | None:
    """What kind of judgement a statement is; None: it is none."""
    if said.resource_type == "Linkage":
        return Verdict.SAME
    if said.resource_type == "Basic" and (JUDGEMENT_SYSTEM, KEEP_APART) in codes(said.content.get("code"), {}):
        return Verdict.APART
    return None


def judged(said: Iterable[Statement], places: Mapping[str, int]) -> tuple[Judgement, ...]:
    """The judgements, oldest first; of what is not in `places` they do not speak, so that nothing hidden shows.

    A resource may have been judged under another identity of the person, such as the one before the number was known.
    """
    by_resource = {_resource(shared_id): shared_id for shared_id in sorted(places)}
    found = [(each, verdict(each)) for each in said]
    kept = sorted(
        ((each, kind) for each, kind in found if kind),
        key=lambda one: (one[0].recorded_at, one[0].event_id, one[0].shared_id),
    )
    return tuple(Judgement(each, kind, _about(_named(each, kind), places, by_resource)) for each, kind in kept)


def decided(judgements: Sequence[Judgement], places: Mapping[str, int]) -> dict[Pair, Verdict]:
    """For each pair that a judgement in force speaks of, what the newest says."""
    newest: dict[Pair, Verdict] = {}
    for judgement in judgements:
        if judgement.said.content.get("active") is not False and len(judgement.about) <= MOST:
            about = sorted(places[shared_id] for shared_id in judgement.about)
            newest.update(dict.fromkeys(combinations(about, 2), judgement.verdict))
    return newest


def kept_apart(judgements: Decided) -> dict[int, set[int]]:
    """For each place, those that it must never be together with."""
    apart: dict[int, set[int]] = {}
    for (one, other), kind in judgements.items():
        if kind is Verdict.APART:
            apart.setdefault(one, set()).add(other)
            apart.setdefault(other, set()).add(one)
    return apart


def _about(named: Iterable[str], places: Collection[str], by_resource: Mapping[str, str]) -> tuple[str, ...]:
    found = (each if each in places else by_resource.get(_resource(each)) for each in named)
    return tuple(sorted({each for each in found if each is not None}))


def _resource(shared_id: str) -> str:
    """What of a shared id is the same under every identity of a person."""
    parts = parse_shared_id(shared_id)
    return parts.resource_hash if parts else shared_id


def _named(said: Statement, kind: Verdict) -> set[str]:
    return set(_linked(said) if kind is Verdict.SAME else _separated(said))


def _linked(said: Statement) -> Iterator[str]:
    return (reference_id(item.get("resource")) for item in objects(said.content.get("item")))


def _separated(said: Statement) -> Iterator[str]:
    extensions = objects(said.content.get("extension"))
    return (reference_id(each.get("valueReference")) for each in extensions if each.get("url") == KEPT_APART)


# A clinician's "same": applied before every other rule, as `clinician-same`.

RULE = "clinician-same"


def join_judged(readings: Sequence[Reading], judgements: Decided, clusters: Clusters) -> None:
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
