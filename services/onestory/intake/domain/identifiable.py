"""Refuses a Patient whom nobody could find again, and a group with members whom nothing identifies."""

from __future__ import annotations

import msgspec

from onestory.intake.domain.item import Item
from onestory.intake.domain.local_ids import local_id_by_identifier
from onestory.shared.errors import Unprocessable


def refuse_members_without_identity(item: Item) -> None:
    """Raise `Unprocessable` for a Group of persons with a member who is only described: it may be a second person."""
    if item.members.get("type") is None or msgspec.json.decode(item.members["type"]) != "person":
        return
    for index, member in enumerate(msgspec.json.decode(item.members.get("member", b"[]"))):
        if {"reference", "identifier"}.isdisjoint(member.get("entity", {})):
            raise Unprocessable(
                "A group of persons is part of the record of its one member. Send a reference to that person, or the "
                "NHS number.",
                code="business-rule",
                expression=f"{item.path}.member[{index}].entity",
            )


def refuse_patient_without_name(item: Item) -> None:
    """Raise `Unprocessable` for a Patient whom no later statement could name, and no reader could find.

    The response to a create or update names the Patient, so that one may come without anything.
    """
    has_name_and_birth_date = "name" in item.members and "birthDate" in item.members
    if not item.method and not item.resource_id and not local_id_by_identifier(item) and not has_name_and_birth_date:
        raise Unprocessable(
            "Nothing names this Patient, so nobody could find it again. Send an id, an identifier with system and "
            "value, or name and birthDate.",
            code="required",
            expression=item.path,
        )
