"""Writes the merged record as a Parameters resource, and compares two merged records of one person.

Each fact is one `fact` parameter with all of its statements. The operation is defined in
`schemas/fhir/OperationDefinition-merged.json`. Resources are included as they are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec
import orjson

from onestory.record.merge.lookup import MEDICINE
from onestory.record.merge.model import Fact, FactConflict, MergedRecord, Statement
from onestory.record.summary.wording import name_of
from onestory.shared.fhir.dates import format_instant
from onestory.shared.fhir.references import literal_references
from onestory.shared.identity import ODS_CODE_SYSTEM


@dataclass(frozen=True, slots=True)
class ChangedFact:
    """A fact that differs from before. `previous` are the facts that its statements belonged to, by id."""

    fact: Fact
    previous: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """The difference between two merged records of one person, each list in the order of its record.

    `new`: facts with no statement that was there before. `gone`: facts of which no statement is left. `changed`: all
    others that differ, also those that were joined or split.
    """

    new: tuple[Fact, ...]
    changed: tuple[ChangedFact, ...]
    gone: tuple[Fact, ...]


def changes(before: MergedRecord, now: MergedRecord) -> Changes:
    """The facts that differ between two merged records; unchanged statements, joins and conflicts mean no difference.

    Compare the record as it was at the last look with the record now, for the same reader. The times of statements
    alone do not show withdrawals, moves to another person, or later judgements of clinicians.
    """
    facts_before = _by_statement(before.facts)
    ids_now = {each.shared_id for fact in now.facts for each in fact.members}
    new, changed = [], []
    for fact in now.facts:
        previous = _previous_facts(facts_before, fact)
        if not previous:
            new.append(fact)
        elif [_visible_state(each) for each in previous] != [_visible_state(fact)]:
            changed.append(ChangedFact(fact, previous))
    gone = [fact for fact in before.facts if not any(each.shared_id in ids_now for each in fact.members)]
    return Changes(tuple(new), tuple(changed), tuple(gone))


def _by_statement(facts: Iterable[Fact]) -> dict[str, Fact]:
    return {each.shared_id: fact for fact in facts for each in fact.members}


def _previous_facts(facts_before: dict[str, Fact], fact: Fact) -> tuple[Fact, ...]:
    found: dict[str, Fact] = {}
    for each in fact.members:
        if each.shared_id in facts_before:
            found.setdefault(facts_before[each.shared_id].id, facts_before[each.shared_id])
    return tuple(found[fact_id] for fact_id in sorted(found))


def _visible_state(fact: Fact) -> tuple[Any, ...]:
    """All that a reader sees of a fact. The event id is the version of a statement's content.

    A medicine that is named by reference may change without a new version of the statement.
    """
    members = [
        (each.shared_id, each.event_id, "medicationReference" in each.content and each.content.get(MEDICINE))
        for each in fact.members
    ]
    return members, fact.joins, fact.conflicts, fact.related, fact.withdrawn


MAX_STATEMENTS_PER_SIDE = 50
"""Statements that are listed on one side of a conflict; the rest are counted."""


class _IdentifiedResource(msgspec.Struct):
    identifier: list[msgspec.Raw] = []


_identified = msgspec.json.Decoder(_IdentifiedResource)


def merged_view(
    merged: MergedRecord, contents: Mapping[str, bytes], directory: Mapping[str, bytes] = MappingProxyType({})
) -> bytes:
    """The Parameters as JSON bytes.

    `contents` are the visible entries by shared id, and `directory` the directory resources that they refer to, both as
    served. Those that a shown resource refers to are included after the facts.
    """
    types = _types(merged)
    facts = [_fact(fact, contents, types) for fact in merged.facts]
    return _parameters([*facts, *_included(merged.facts, contents, directory)])


def changes_view(
    changes: Changes,
    now: MergedRecord,
    contents: Mapping[str, bytes],
    directory: Mapping[str, bytes] = MappingProxyType({}),
) -> bytes:
    """The Parameters of the changed facts as JSON bytes. `now`, `contents` and `directory` are the current state."""
    types = _types(now)
    facts = [*changes.new, *[each.fact for each in changes.changed]]
    return _parameters(
        [
            *[_fact(fact, contents, types, "new") for fact in changes.new],
            *[_fact(each.fact, contents, types, "changed") for each in changes.changed],
            *[_gone(fact) for fact in changes.gone],
            *_included(facts, contents, directory),
        ]
    )


def _included(facts: Iterable[Fact], contents: Mapping[str, bytes], directory: Mapping[str, bytes]) -> Iterator[bytes]:
    """Yields the directory resources that the shown resources refer to, directly or through each other."""
    if not directory:
        return
    included: set[str] = set()
    waiting = [contents.get(fact.shown.shared_id, b"") for fact in facts]
    while waiting:
        referenced = {target_id for _, target_id in literal_references(waiting)}
        new = sorted(referenced & directory.keys() - included)
        included.update(new)
        waiting = [directory[each] for each in new]
    for each in sorted(included):
        yield b'{"name":"included","resource":%b}' % directory[each]


def _types(merged: MergedRecord) -> Mapping[str, str]:
    return {statement.shared_id: statement.resource_type for fact in merged.facts for statement in fact.members}


def _parameters(parameters: Iterable[bytes]) -> bytes:
    listed = b",".join(parameters)
    # FHIR has no empty arrays.
    parameter_json = b',"parameter":[%b]' % listed if listed else b""
    return b'{"resourceType":"Parameters"%b}' % parameter_json


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
        *[_source(statement, contents) for statement in fact.members],
        *_parts(
            *[_join(join.one, join.other, join.rule, join.certainty.value) for join in fact.joins],
            *[_conflict(conflict, types) for conflict in fact.conflicts],
            *[{"name": "beside", "valueId": other} for other in fact.related],
            *[_statement(shared_id, types, "withdrawn") for shared_id in fact.withdrawn],
        ),
    ]
    return b'{"name":"fact","part":[%b]}' % b",".join(parts)


def _gone(fact: Fact) -> bytes:
    head = _parts({"name": "id", "valueId": fact.id}, {"name": "type", "valueCode": fact.resource_type})
    return b'{"name":"gone","part":[%b]}' % b",".join([*head, *[_source(statement, {}) for statement in fact.members]])


def _shown(fact: Fact, contents: Mapping[str, bytes]) -> Iterator[bytes]:
    if content := contents.get(fact.shown.shared_id):
        yield b'{"name":"resource","resource":%b}' % content


def _source(statement: Statement, contents: Mapping[str, bytes]) -> bytes:
    parts = _parts(
        {"name": "organisation", "valueIdentifier": {"system": ODS_CODE_SYSTEM, "value": statement.organisation}},
        {"name": "system", "valueString": statement.system},
        {"name": "recorded", "valueInstant": format_instant(statement.recorded_at)},
        _statement(statement.shared_id, {statement.shared_id: statement.resource_type}),
        {"name": "text", "valueString": name_of(statement.content)},
    )
    parts += [b'{"name":"identifier","valueIdentifier":%b}' % each for each in _identifiers(statement, contents)]
    return b'{"name":"source","part":[%b]}' % b",".join(parts)


def _identifiers(statement: Statement, contents: Mapping[str, bytes]) -> list[msgspec.Raw]:
    content = contents.get(statement.shared_id)
    if not content or "identifier" not in statement.content:
        return []
    try:
        return _identified.decode(content).identifier
    except msgspec.ValidationError:
        # Some types have a single identifier, not a list.
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
    # Thousands of statements on a side, each listed with all the others, would make millions of entries.
    more = len(side) - MAX_STATEMENTS_PER_SIDE
    counted = [{"name": "more", "valueInteger": more}] if more > 0 else []
    return [*[_statement(each, types) for each in side[:MAX_STATEMENTS_PER_SIDE]], *counted]


def _statement(shared_id: str, types: Mapping[str, str], name: str = "statement") -> dict[str, Any]:
    return {"name": name, "valueReference": {"reference": f"{types.get(shared_id, 'Resource')}/{shared_id}"}}


def _parts(*parts: dict[str, Any]) -> list[bytes]:
    return [orjson.dumps(part) for part in parts]
