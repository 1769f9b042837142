"""The merged record as a Parameters resource: one `fact` for each fact, with all that is behind it.

The operation is `schemas/fhir/OperationDefinition-merged.json`. Resources are carried as they are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from onestory.record.merge.model import Fact, FactConflict, Merged, Statement
from onestory.record.summary.wording import name_of
from onestory.shared.fhir.dates import format_instant
from onestory.shared.identity import ODS_CODE_SYSTEM

# What a reader who looked before has not seen yet: two merged records of one person, compared fact by fact.
#
# Compare what was merged as of the last look with what is merged now, for the same reader: the times of statements
# alone
# do not tell what was withdrawn, what left the person, or what a clinician joined or kept apart since.


@dataclass(frozen=True, slots=True)
class ChangedFact:
    """A fact that is there and is not as it was. `was` are the facts that its statements belonged to, by their ids."""

    fact: Fact
    was: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """`new`: no statement of it was there. `gone`: no statement of it is there any more. Each in the order of its
    record. Facts that were joined or parted since are `changed`.
    """

    new: tuple[Fact, ...]
    changed: tuple[ChangedFact, ...]
    gone: tuple[Fact, ...]


def changes(before: Merged, now: Merged) -> Changes:
    """What became of a person's facts. One that shows the same statements, joins and conflicts is in none of them."""
    known = _by_statement(before.facts)
    kept = {each.shared_id for fact in now.facts for each in fact.members}
    new, changed = [], []
    for fact in now.facts:
        was = _among(known, fact)
        if not was:
            new.append(fact)
        elif [_shows(each) for each in was] != [_shows(fact)]:
            changed.append(ChangedFact(fact, was))
    gone = [fact for fact in before.facts if not any(each.shared_id in kept for each in fact.members)]
    return Changes(tuple(new), tuple(changed), tuple(gone))


def _by_statement(facts: Iterable[Fact]) -> dict[str, Fact]:
    return {each.shared_id: fact for fact in facts for each in fact.members}


def _among(known: dict[str, Fact], fact: Fact) -> tuple[Fact, ...]:
    found: dict[str, Fact] = {}
    for each in fact.members:
        if each.shared_id in known:
            found.setdefault(known[each.shared_id].id, known[each.shared_id])
    return tuple(found[fact_id] for fact_id in sorted(found))


def _shows(fact: Fact) -> tuple[Any, ...]:
    """All that a reader sees of a fact. A statement's version says what it says."""
    members = [(each.shared_id, each.event_id) for each in fact.members]
    return members, fact.joins, fact.conflicts, fact.beside, fact.withdrawn


MOST_ON_A_SIDE = 50
"""Statements that are named on one side of a conflict; of more, the number."""


class _Named(msgspec.Struct):
    identifier: list[msgspec.Raw] = []


_named = msgspec.json.Decoder(_Named)


def merged_view(merged: Merged, contents: Mapping[str, bytes]) -> bytes:
    """The Parameters as JSON bytes. `contents` are the visible entries by shared id, as the bytes that are served."""
    types = _types(merged)
    return _parameters(_fact(fact, contents, types) for fact in merged.facts)


def changes_view(changes: Changes, now: Merged, contents: Mapping[str, bytes]) -> bytes:
    """The Parameters of what became of the facts since a reader looked; `now` and `contents` are as they are now."""
    types = _types(now)
    return _parameters(
        [
            *[_fact(fact, contents, types, "new") for fact in changes.new],
            *[_fact(each.fact, contents, types, "changed") for each in changes.changed],
            *[_gone(fact) for fact in changes.gone],
        ]
    )


def _types(merged: Merged) -> Mapping[str, str]:
    return {said.shared_id: said.resource_type for fact in merged.facts for said in fact.members}


def _parameters(parameters: Iterable[bytes]) -> bytes:
    listed = b",".join(parameters)
    # FHIR has no empty arrays.
    held = b',"parameter":[%b]' % listed if listed else b""
    return b'{"resourceType":"Parameters"%b}' % held


def _fact(fact: Fact, contents: Mapping[str, bytes], types: Mapping[str, str], change: str = "") -> bytes:
    parts = [
        *_parts(
            {"name": "id", "valueId": fact.id},
            {"name": "type", "valueCode": fact.resource_type},
            {"name": "certainty", "valueCode": fact.certainty.value},
            *[{"name": "rule", "valueCode": rule} for rule in fact.rules],
            *([{"name": "change", "valueCode": change}] if change else []),
        ),
        *_shown(fact, contents),
        *[_source(said, contents) for said in fact.members],
        *_parts(
            *[_join(join.one, join.other, join.rule, join.certainty.value) for join in fact.joins],
            *[_conflict(conflict, types) for conflict in fact.conflicts],
            *[{"name": "beside", "valueId": other} for other in fact.beside],
            *[_statement(shared_id, types, "withdrawn") for shared_id in fact.withdrawn],
        ),
    ]
    return b'{"name":"fact","part":[%b]}' % b",".join(parts)


def _gone(fact: Fact) -> bytes:
    head = _parts({"name": "id", "valueId": fact.id}, {"name": "type", "valueCode": fact.resource_type})
    return b'{"name":"gone","part":[%b]}' % b",".join([*head, *[_source(said, {}) for said in fact.members]])


def _shown(fact: Fact, contents: Mapping[str, bytes]) -> Iterator[bytes]:
    if content := contents.get(fact.shown.shared_id):
        yield b'{"name":"resource","resource":%b}' % content


def _source(said: Statement, contents: Mapping[str, bytes]) -> bytes:
    parts = _parts(
        {"name": "organisation", "valueIdentifier": {"system": ODS_CODE_SYSTEM, "value": said.organisation}},
        {"name": "system", "valueString": said.system},
        {"name": "recorded", "valueInstant": format_instant(said.recorded_at)},
        _statement(said.shared_id, {said.shared_id: said.resource_type}),
        {"name": "text", "valueString": name_of(said.content)},
    )
    parts += [b'{"name":"identifier","valueIdentifier":%b}' % each for each in _identifiers(said, contents)]
    return b'{"name":"source","part":[%b]}' % b",".join(parts)


def _identifiers(said: Statement, contents: Mapping[str, bytes]) -> list[msgspec.Raw]:
    content = contents.get(said.shared_id)
    if not content or "identifier" not in said.content:
        return []
    try:
        return _named.decode(content).identifier
    except msgspec.ValidationError:
        # Of some types there is only one.
        return [msgspec.json.decode(content, type=dict[str, msgspec.Raw])["identifier"]]


def _join(one: str, other: str, rule: str, certainty: str) -> dict[str, Any]:
    return {
        "name": "join",
        "part": [
            {"name": "one", "valueId": one},
            {"name": "other", "valueId": other},
            {"name": "rule", "valueCode": rule},
            {"name": "certainty", "valueCode": certainty},
        ],
    }


def _conflict(conflict: FactConflict, types: Mapping[str, str]) -> dict[str, Any]:
    sides = [{"name": "side", "part": _on_side(side, types)} for side in conflict.sides]
    kind = {"name": "kind", "valueCode": conflict.kind}
    return {"name": "conflict", "part": [kind, {"name": "explanation", "valueString": conflict.explanation}, *sides]}


def _on_side(side: Sequence[str], types: Mapping[str, str]) -> list[dict[str, Any]]:
    # With thousands on a side, naming all of them beside each of them would be millions.
    more = len(side) - MOST_ON_A_SIDE
    counted = [{"name": "more", "valueInteger": more}] if more > 0 else []
    return [*[_statement(each, types) for each in side[:MOST_ON_A_SIDE]], *counted]


def _statement(shared_id: str, types: Mapping[str, str], name: str = "statement") -> dict[str, Any]:
    return {"name": name, "valueReference": {"reference": f"{types.get(shared_id, 'Resource')}/{shared_id}"}}


def _parts(*parts: dict[str, Any]) -> list[bytes]:
    return [orjson.dumps(part) for part in parts]
