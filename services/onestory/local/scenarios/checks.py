"""The table of a scenario: what was expected and what was seen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_WIDTHS = (64, 24, 24)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table."""

    what: str
    expected: str
    seen: str

    @property
    def passed(self) -> bool:
        """Whether the expected is what was seen."""
        return self.expected == self.seen


@dataclass(slots=True)
class CheckTable:
    """The checks of one scenario, in their order."""

    checks: list[Check] = field(default_factory=list)

    def add(self, what: str, expected: object, seen: object) -> None:
        """Add a line. Both values are shown as text."""
        self.checks.append(Check(what, str(expected), str(seen)))

    @property
    def passed(self) -> bool:
        """Whether there are checks, and all of them passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def lines(self) -> Sequence[str]:
        """The table as text, with a summary as its last line."""
        rows = [("", "check", "expected", "seen")]
        rows += [("ok" if each.passed else "FAIL", each.what, each.expected, each.seen) for each in self.checks]
        failed = sum(not each.passed for each in self.checks)
        text = [f"{sign:5}{'  '.join(map(_cell, cells, _WIDTHS))}".rstrip() for sign, *cells in rows]
        return [*text, f"{len(self.checks)} checks, {failed} failed."]


def _cell(text: str, width: int) -> str:
    shown = text if len(text) <= width else f"{text[: width - 1]}…"
    return shown.ljust(width)
