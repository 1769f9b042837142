"""What merging has to know of codes, identifiers and statuses: reviewed data, `schemas/merge/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onestory.record.domain.merge.shape import Code


@dataclass(frozen=True, slots=True)
class Rules:
    """The data of `schemas/merge/`; each file says what it is for.

    `unique`: identifier systems whose values name one thing, with the types for which they do; None: for all.
    `same_system`: another name of a code system to the one used here. `negations`: for a type, its elements and the
    values that turn a statement into its opposite. `none_known`: for a type, codes that say that there is none, with
    the categories they speak of; none: all. `substances`: an allergy's code to the code of its substance.
    `plan_elements`: where a type says that it is a plan; `plans`: codes of plans, with the decision in them, or "".
    `standing`: for a type, what a status says of the present: current, paused, completed or stopped. `sides`: a
    word to the side of the body that it names. `empty_systems`, `empty_codes`: codes that say nothing of their own.
    """

    unique: Mapping[str, frozenset[str] | None]
    same_system: Mapping[str, str]
    negations: Mapping[str, Mapping[str, frozenset[object]]]
    none_known: Mapping[str, Mapping[Code, frozenset[str]]]
    substances: Mapping[Code, Code]
    plan_elements: Mapping[str, tuple[str, ...]]
    plans: Mapping[Code, str]
    standing: Mapping[str, Mapping[str, str]]
    sides: Mapping[str, str]
    empty_systems: frozenset[str]
    empty_codes: frozenset[Code]

    def tells(self, code: Code) -> bool:
        """Whether a code says something of its own."""
        return code not in self.empty_codes and code[0] not in self.empty_systems
