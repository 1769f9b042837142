"""Facts: what statements say, with one line for one fact, whoever said it (design section 6).

A `Said` is one statement that a reader may see. Statements that say the same are joined into a `Fact`, which keeps
every one of them, the rule that joined each, and what they contradict each other in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as merging reads it: who says what, and since when. `content` is the resource as plain values.

    `organisation` is an ODS code. `recorded_at` is when the source recorded it, `broker_time` when the record got it.
    """

    shared_id: str
    resource_type: str
    organisation: str
    system: str
    event_id: UUID
    recorded_at: datetime
    broker_time: datetime
    content: Mapping[str, Any]

    @property
    def source(self) -> tuple[str, str]:
        """Organisation and system: what is joined only by identifier when it is the same."""
        return (self.organisation, self.system)


class Certainty(StrEnum):
    """How sure a rule is that two statements are one fact."""

    EXACT = "exact"
    LIKELY = "likely"


@dataclass(frozen=True, slots=True)
class Join:
    """Why two statements, named by their shared ids, are one fact."""

    one: str
    other: str
    rule: str
    certainty: Certainty


class Verdict(StrEnum):
    """What a clinician judges of statements."""

    SAME = "same"
    APART = "keep-apart"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A clinician's word on which statements belong together, and no fact itself.

    `about` are the ids of the statements that it speaks of, as far as a reader may see them.
    """

    said: Statement
    verdict: Verdict
    about: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FactConflict:
    """What statements contradict each other in.

    `kind` is a code such as `dose`; `explanation` says it in clinical words and quotes nothing of a resource; `sides`
    are the shared ids on each side, at least two sides, each in the order of the ids.
    """

    kind: str
    explanation: str
    sides: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact. `members` are its statements; the first one is what is shown, the others stand behind it.

    `id` is the least shared id of its members. `joins` are empty where one statement stands alone. `conflicts` are
    those in which a member is on a side, also where the other side is another fact. `beside` are the ids of facts that
    are shown together with this one and stay apart from it, as a request is from the statement that it is taken.
    `withdrawn` are the members that their own source marked as entered in error. `onset` is the earliest onset of a
    Condition that a member states, as it is written; empty: none does.
    """

    id: str
    resource_type: str
    members: tuple[Statement, ...]
    joins: tuple[Join, ...]
    conflicts: tuple[FactConflict, ...]
    beside: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    onset: str = ""

    @property
    def shown(self) -> Statement:
        """The statement that stands for the fact."""
        return self.members[0]

    @property
    def certainty(self) -> Certainty:
        """As sure as its least sure join; a statement alone is exact."""
        likely = any(join.certainty is Certainty.LIKELY for join in self.joins)
        return Certainty.LIKELY if likely else Certainty.EXACT

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of the rules that joined it."""
        return tuple(sorted({join.rule for join in self.joins}))


@dataclass(frozen=True, slots=True)
class Merged:
    """A person's record, merged: the same whatever order the statements came in.

    Plans for an emergency come first, newest first; then everything else by type and id. `judgements`, oldest first,
    are what clinicians said of the statements; every other statement is a member of exactly one fact.
    """

    facts: tuple[Fact, ...]
    judgements: tuple[Judgement, ...] = ()
