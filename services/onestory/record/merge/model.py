"""The data types of the merged record: statements, the facts that they form, and the conflicts between them.

Statements that mean the same are joined into one `Fact`. A fact keeps every statement, the rule that joined each pair,
and the conflicts that its statements are part of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from onestory.shared.fhir.resource import Resource


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, as merging reads it.

    `content` is the FHIR resource as plain JSON values. `organisation` is an ODS code. `recorded_at` is when the source
    recorded the statement; `broker_time` is when Kafka received it.
    """

    shared_id: str
    resource_type: str
    organisation: str
    system: str
    event_id: UUID
    recorded_at: datetime
    broker_time: datetime
    content: Mapping[str, Any]

    def __post_init__(self) -> None:
        if type(self.content) is not Resource:
            object.__setattr__(self, "content", Resource(self.content))

    @property
    def source(self) -> tuple[str, str]:
        """Organisation and system. Two statements of one source are joined by identifier or judgement alone."""
        return (self.organisation, self.system)


class Certainty(StrEnum):
    """How sure a rule is that two statements are one fact."""

    EXACT = "exact"
    LIKELY = "likely"


@dataclass(frozen=True, slots=True)
class Join:
    """The rule that joined two statements, with their shared ids."""

    one: str
    other: str
    rule: str
    certainty: Certainty


class Verdict(StrEnum):
    """The judgement of a clinician: `SAME` means one fact, `APART` means never one fact."""

    SAME = "same"
    APART = "keep-apart"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judgement on statements. It is a statement itself, but never part of a fact.

    `statement_ids` are the shared ids of the statements that it judges, without those that the reader may not see.
    """

    statement: Statement
    verdict: Verdict
    statement_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FactConflict:
    """A contradiction between statements.

    `kind` is a code such as `dose`. `explanation` describes it in clinical words and quotes no resource. `sides` holds
    the shared ids of each side, sorted; there are at least two sides.
    """

    kind: str
    explanation: str
    sides: tuple[tuple[str, ...], ...]

    @property
    def is_hint(self) -> bool:
        """Whether it only tells how to read lines together, and contradicts nothing: it is no alarm."""
        return self.kind in HINTS


HINTS = frozenset(["dose-wording", "same-ingredient"])
"""Kinds of conflicts that are information: other words for a dose, and lines of one medicine."""


class Fact(msgspec.Struct, frozen=True):
    """One fact: the statements that are joined into one line.

    `id` is the smallest shared id of its members. The first of `members` is the statement that is shown. `joins` is
    empty for a fact of one statement. `conflicts` are the conflicts that name a member, also when the other side is
    another fact. `related` are ids of facts that are shown next to this one but not joined with it: a MedicationRequest
    and the MedicationStatement that it is taken. `withdrawn` are the shared ids of members that their own source marked
    as entered in error. `onset` is the earliest onset of a Condition, as a source wrote it; "" if no member states one.
    `medicine` is equal for all facts of one ingredient; "" if this is no medicine. `issues` are the shared ids of the
    issues of a repeat, which are facts of their own.
    """

    id: str
    resource_type: str
    members: tuple[Statement, ...]
    joins: tuple[Join, ...]
    conflicts: tuple[FactConflict, ...]
    related: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    onset: str = ""
    medicine: str = ""
    issues: tuple[str, ...] = ()

    @property
    def shown(self) -> Statement:
        """The statement that is shown for the fact."""
        return self.members[0]

    @property
    def certainty(self) -> Certainty:
        """`LIKELY` if any of its joins is; else `EXACT`, also for a single statement."""
        likely = any(join.certainty is Certainty.LIKELY for join in self.joins)
        return Certainty.LIKELY if likely else Certainty.EXACT

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of the rules that joined its statements, sorted."""
        return tuple(sorted({join.rule for join in self.joins}))


@dataclass(frozen=True, slots=True)
class MergedRecord:
    """The merged record of one person. It does not depend on the order in which statements arrived.

    In `facts`, emergency plans come first, newest first; all others follow by type and id. `judgements` are those of
    clinicians, oldest first. Every other statement is a member of exactly one fact.
    """

    facts: tuple[Fact, ...]
    judgements: tuple[Judgement, ...] = ()
