"""A source that changes its clinical system: the statements of the new system replace those of the old one.

All local ids change with the system, so the record would have everything twice. A statement of the new system may say
that it replaces another system of its organisation, for the types of which it is the whole list. The old system's
statements of these types are retired by a whole list without entries. They stay in the history, and the old system can
state them again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid5

from onestory.intake.domain.earlier import SystemResources
from onestory.intake.domain.request import SubmissionContext
from onestory.shared.errors import Forbidden, Unprocessable
from onestory.shared.events import RecordChanged, Source
from onestory.shared.fhir.definitions import is_about_a_person
from onestory.shared.identity import PersonIdentifier

HEADER = "X-Replaces-System"
_PATIENT = "Patient"
# The namespace of event ids that follow from the event of the new system. It must never change.
_EVENT_ID_NAMESPACE = UUID("0b6f1a52-2f0e-4b0e-8f57-5f0e6c8e3d55")


@dataclass(frozen=True, slots=True)
class Replacement:
    """What a statement replaces of another system: how many resources of each type, and how many of it stay.

    `later` are those of `staying` that the other system stated after the replacing statement. `types` are the replaced
    types by identity of the person.
    """

    system: str
    replaced: Mapping[str, int] = field(default_factory=dict)
    staying: Mapping[str, int] = field(default_factory=dict)
    later: Mapping[str, int] = field(default_factory=dict)
    types: Mapping[PersonIdentifier, frozenset[str]] = field(default_factory=dict)


def refuse_invalid_replacement(context: SubmissionContext, bundle_type: str, sequenced: Collection[str]) -> None:
    """Raise `Unprocessable` for a replacement that cannot be carried out, and `Forbidden` for one that is not set."""
    old = context.replaced_system
    if not bundle_type or bundle_type == "batch":
        text = f"{HEADER}: send one Bundle about one person, of type transaction, collection, document or message."
        raise Unprocessable(text, code="business-rule")
    if old == context.source.system:
        text = f"{HEADER}: this is the system that publishes. Name the system that it replaces."
        raise Unprocessable(text, code="value")
    name = f"{context.source.organisation}/{context.source.system}"
    if context.deployment.replaced_systems.get(name) != old:
        raise Forbidden(
            f"{HEADER}: this deployment does not know that {name} replaces this system. Ask its operator to set "
            "ONESTORY_REPLACED_SYSTEMS."
        )
    if not context.complete_types:
        raise Unprocessable(
            f"{HEADER} needs X-Complete-Types: the types for which this statement is your whole list. Only the old "
            "system's statements of these types are replaced.",
            code="required",
        )
    if f"{context.source.organisation}/{old}" in sequenced:
        text = f"{HEADER}: that system numbers its statements. Let it send its own last whole list."
        raise Unprocessable(text, code="business-rule")


def replacement_of(
    system: str, has: Sequence[SystemResources], stated: Collection[str], complete: Collection[str]
) -> Replacement:
    """Return what a statement replaces of what a system `has` about the person.

    `stated` are the types in the statement, and `complete` those of which it is the whole list. The old Patient, and
    what came along with other resources, such as a Medication, go only when nothing else of the system stays: the
    Patient may link earlier statements to the person.
    """
    is_all = _PATIENT in stated and not any(_stays(each, complete) for each in has)
    replaced, staying, later = Counter[str](), Counter[str](), Counter[str]()
    types: dict[PersonIdentifier, set[str]] = {}
    for each in has:
        goes = each.person is not None and (is_all or each.resource_type in complete)
        if goes and each.person and each.earlier:
            types.setdefault(each.person, set()).add(each.resource_type)
        replaced[each.resource_type] += each.earlier if goes else 0
        staying[each.resource_type] += each.later if goes else each.earlier + each.later
        later[each.resource_type] += each.later if goes else 0
    return Replacement(
        system, +replaced, +staying, +later, {person: frozenset(kinds) for person, kinds in types.items()}
    )


def _stays(resources: SystemResources, complete: Collection[str]) -> bool:
    """Return whether some of these clinical resources stay; False for a Patient, and for what came along."""
    kind = resources.resource_type
    if kind == _PATIENT or not is_about_a_person(kind):
        return False
    return kind not in complete or resources.person is None or resources.later > 0


def retiring_events(event: RecordChanged, replacement: Replacement) -> Iterator[RecordChanged]:
    """Yield a whole list without entries for each identity, with the times of the new statement.

    They retire the replaced statements. The first is about the person of the new statement.
    """
    types = {event.person: frozenset[str](), **replacement.types}
    types[event.person] |= frozenset(event.complete_types)
    for person, kinds in types.items():
        complete = tuple(sorted(kinds))
        # A repetition finds nothing left to replace. Then it is another event, with the same effect.
        name = (str(event.event_id), replacement.system, person.system, person.value, *complete)
        yield RecordChanged(
            event_id=uuid5(_EVENT_ID_NAMESPACE, "\0".join(name)),
            source=Source(event.source.organisation, replacement.system),
            person=person,
            sequence=None,
            recorded_at=event.recorded_at,
            published_at=event.published_at,
            correlation_id=event.correlation_id,
            complete_types=complete,
            entries=(),
        )
