"""The circumstances of a submission: who says it, in what sequence, as the whole of what."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from onestory.intake.domain.submission import Door, Reception, Said
from onestory.shared.errors import Forbidden, Unprocessable
from onestory.shared.events import BOOKING_SYSTEM, REFERRAL_SYSTEM, Source
from onestory.shared.fhir.definitions import patient_compartment

_SYSTEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_SEQUENCE = re.compile(r"[0-9]{1,19}")
_MOST = 2**63


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a submission before it is read: the verified organisation and its system by the token."""

    door: Door
    organisation: str
    system: str
    received_at: datetime
    submission_id: UUID
    correlation_id: str
    idempotency_key: str = ""
    role: str = ""


def receive(arrival: Arrival, header: Said, tag: Said) -> Reception:
    """What was said in a header goes before what was said in a tag. Raises `Unprocessable`, or `Forbidden` for the name
    of a system of ours.
    """
    source = Source(arrival.organisation, _system(header.system or tag.system or arrival.system))
    return Reception(
        door=arrival.door,
        source=source,
        received_at=arrival.received_at,
        submission_id=arrival.submission_id,
        correlation_id=arrival.correlation_id,
        idempotency_key=arrival.idempotency_key,
        sequence=_sequence(header.sequence or tag.sequence, source, arrival.door),
        complete_types=_complete_types(header.complete_types or tag.complete_types or ()),
        role=arrival.role,
    )


def _system(name: str) -> str:
    if not _SYSTEM.fullmatch(name):
        says = "The name of a system has 1 to 64 characters of A-Z a-z 0-9 . _ : - (X-Source-System, or its tag)."
        raise Unprocessable(says, code="value")
    if name.lower() in (REFERRAL_SYSTEM, BOOKING_SYSTEM):
        raise Forbidden("What is referred or booked here is said by a system of this name: give yours another one.")
    return name


def _sequence(said: str | None, source: Source, door: Door) -> int | None:
    declared = f"{source.organisation}/{source.system}" in door.sequenced_sources
    if not declared and said is not None:
        says = "This source has not declared that it always sends a sequence: leave X-Sequence out."
        raise Unprocessable(says, code="business-rule")
    if declared and not (said is not None and _SEQUENCE.fullmatch(said) and int(said) < _MOST):
        says = "This source has declared that it always sends a sequence: send X-Sequence, a whole number from 0."
        raise Unprocessable(says, code="required")
    return int(said) if said is not None else None


def _complete_types(types: tuple[str, ...]) -> tuple[str, ...]:
    if any(kind not in patient_compartment() for kind in types):
        says = "X-Complete-Types names what is not in the Patient compartment: send resource types such as Condition."
        raise Unprocessable(says, code="value")
    return tuple(sorted(set(types)))
