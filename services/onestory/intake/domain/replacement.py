"""A source that changes its clinical system: the statements of the new system replace those of the old one.

All local ids change with the system, so the record would have everything twice. A statement of the new system may say
that it replaces another system of its organisation, for the types of which it is the whole list. The old system's
statements of these types are retired by a whole list without entries. They stay in the history, and the old system can
state them again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid5

from onestory.intake.domain.request import SubmissionContext
from onestory.shared.errors import Forbidden, Unprocessable
from onestory.shared.events import RecordChanged, Source
from onestory.shared.fhir.definitions import is_about_a_person

HEADER = "X-Replaces-System"
_PATIENT = "Patient"
# The namespace of event ids that follow from the event of the new system. It must never change.
_EVENT_ID_NAMESPACE = UUID("0b6f1a52-2f0e-4b0e-8f57-5f0e6c8e3d55")


@dataclass(frozen=True, slots=True)
class Replacement:
    """What a statement replaces of another system: how many resources of each type, and how many of it stay."""

    system: str
    replaced: Mapping[str, int] = field(default_factory=dict)
    staying: Mapping[str, int] = field(default_factory=dict)


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
    system: str, has: Mapping[str, int], stated: Collection[str], complete: Collection[str]
) -> Replacement:
    """Return what a statement replaces of a system that `has` so many resources of each type of the person.

    `stated` are the types in the statement, and `complete` those of which it is the whole list. The old Patient, and
    what came along with other resources, such as a Medication, go only when nothing else of the system stays: the
    Patient may link earlier statements to the person.
    """
    others = {kind for kind in has if kind != _PATIENT and is_about_a_person(kind)}
    if others <= set(complete) and _PATIENT in stated:
        return Replacement(system, replaced=dict(has))
    return Replacement(
        system,
        replaced={kind: count for kind, count in has.items() if kind in complete},
        staying={kind: count for kind, count in has.items() if kind not in complete},
    )


def retiring_event(event: RecordChanged, replacement: Replacement) -> RecordChanged:
    """Return the whole list without entries that retires the replaced statements, with the times of the new one."""
    types = tuple(sorted({*event.complete_types, *replacement.replaced}))
    return RecordChanged(
        # A repetition finds nothing left to replace. Then it is another event, with the same effect.
        event_id=uuid5(_EVENT_ID_NAMESPACE, "\0".join((str(event.event_id), replacement.system, *types))),
        source=Source(event.source.organisation, replacement.system),
        person=event.person,
        sequence=None,
        recorded_at=event.recorded_at,
        published_at=event.published_at,
        correlation_id=event.correlation_id,
        complete_types=types,
        entries=(),
    )
