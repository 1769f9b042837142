"""Which difficulties of real data exist, and who shows them.

A person's difficulties follow from the person's index alone: every one of them is there among the first twenty people,
and a larger population has them in proportion.
"""

from __future__ import annotations

from typing import NamedTuple


class Trouble(NamedTuple):
    offset: int
    period: int
    meaning: str


TROUBLES: dict[str, Trouble] = {
    "same-fact": Trouble(0, 1, "the same condition or allergy from several sources, with other ids and texts"),
    "unusual-text": Trouble(
        0, 5, "free text with emoji, combining marks, right-to-left script or reference look-alikes"
    ),
    "moved-practice": Trouble(0, 20, "a practice that the person has left, whose repeat medicine nobody has ended"),
    "superseded-number": Trouble(1, 100, "an NHS number that the demographic authority says is superseded"),
    "conflict-allergy": Trouble(2, 20, "an allergy is active for one source and refuted by another"),
    "wrong-person": Trouble(3, 100, "a resource first filed under the person before, later stated for this one"),
    "conflict-dose": Trouble(4, 20, "two sources give different doses of one medicine"),
    "retraction": Trouble(5, 20, "a statement taken back with DELETE"),
    "conflict-condition": Trouble(6, 20, "a condition is active for one source and resolved for another"),
    "sensitive": Trouble(7, 20, "a restricted (R) item of sexual health"),
    "protected-address": Trouble(8, 50, "a person whose address and practice must not be shown"),
    "late-statement": Trouble(9, 20, "an older statement published after a newer one"),
    "repeated-statement": Trouble(10, 20, "the same Bundle, byte for byte, published again"),
    "correction": Trouble(11, 20, "a newer statement of the same resource with other content"),
    "deceased": Trouble(12, 50, "a person who has died"),
    "complete-list": Trouble(13, 20, "a source's whole list of allergies, without one that it stated before"),
    "entered-in-error": Trouble(14, 20, "a statement withdrawn by status entered-in-error"),
    "very-restricted": Trouble(15, 100, "a very restricted (V) item"),
    "about-me": Trouble(16, 5, "About Me in the person's own words, and reasonable adjustments"),
    "safeguarding": Trouble(17, 50, "a child protection flag"),
    "resuscitation": Trouble(18, 20, "a ReSPECT plan with a decision not to attempt resuscitation"),
    "care-package": Trouble(19, 20, "a package of adult social care"),
}


def troubles_of(index: int) -> tuple[str, ...]:
    """The difficulties of this person, in the order of the table; those that everyone has are left out."""
    return tuple(
        name
        for name, trouble in TROUBLES.items()
        if trouble.period > 1 and index % trouble.period == trouble.offset % trouble.period
    )
