"""A simple model of a referral: the state and answers that tests expect. It uses no code of the referral service."""

from __future__ import annotations

from dataclasses import dataclass, field

Party = tuple[str, str]
"""Organisation and team; the team is empty for the organisation as a whole."""

REQUESTER, SENDER, RECIPIENT = "requester", "sender", "recipient"
ASKED, HELD = ("requested", "received"), ("accepted", "in-progress", "on-hold")
# Each action: the states in which it is allowed, the sides that may do it, and the state that follows.
MAY: dict[str, list[tuple[tuple[str, ...], set[str], str]]] = {
    "request": [(("draft",), {REQUESTER}, "requested")],
    "receive": [(("requested",), {RECIPIENT}, "received")],
    "accept": [(ASKED, {RECIPIENT}, "accepted")],
    "reject": [(ASKED, {RECIPIENT}, "rejected")],
    "start": [(("accepted",), {RECIPIENT}, "in-progress")],
    "book": [(("accepted",), {RECIPIENT}, "accepted"), (("in-progress",), {RECIPIENT}, "in-progress")],
    "hold": [(("in-progress",), {RECIPIENT}, "on-hold")],
    "resume": [(("on-hold",), {RECIPIENT}, "in-progress")],
    "complete": [(("in-progress",), {RECIPIENT}, "completed")],
    "fail": [(("in-progress",), {RECIPIENT}, "failed")],
    "cancel": [
        (("draft",), {REQUESTER}, "cancelled"),
        (ASKED, {REQUESTER, SENDER}, "cancelled"),
        (HELD, {REQUESTER, SENDER, RECIPIENT}, "cancelled"),
        (("rejected",), {REQUESTER, SENDER}, "rejected"),
        (("failed",), {REQUESTER}, "failed"),
    ],
    "redirect": [
        (ASKED, {REQUESTER, SENDER, RECIPIENT}, "requested"),
        (HELD, {RECIPIENT}, "requested"),
        (("rejected",), {REQUESTER, SENDER}, "requested"),
        (("failed",), {REQUESTER}, "requested"),
    ],
}
WITH_REASON = ("reject", "hold", "fail", "cancel", "redirect", "correct")


@dataclass(slots=True)
class Actor:
    """A caller. One without a role in the directory, such as a system, acts for its whole organisation."""

    name: str
    organisation: str
    teams: set[Party] = field(default_factory=set)
    """Where the directory has a role of this user; empty for a system."""
    ended: set[Party] = field(default_factory=set)
    """The roles that have ended."""

    def acts_for(self, party: Party) -> bool:
        if party[1] and self.teams:
            return party in self.teams - self.ended
        return self.organisation == party[0]

    def may_know_of(self, party: Party) -> bool:
        return self.organisation == party[0] or party in self.teams


@dataclass(slots=True)
class Expected:
    """The expected state of one referral."""

    person: str
    referral_id: str
    task_id: str
    tag: str
    requester: Party
    sender: Party
    recipient: Party
    status: str
    is_open: bool = True
    sent: bool = True
    version: int = 1
    claimed_by: str = ""
    former: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)

    @property
    def holder(self) -> Party | None:
        if not self.is_open:
            return None
        if self.status in HELD:
            return self.recipient
        return self.requester if self.status == "failed" else self.sender

    @property
    def next_actor(self) -> Party | None:
        waits_for_its_holder = self.status in ("draft", "rejected", "failed")
        return self.holder if waits_for_its_holder or not self.is_open else self.recipient

    @property
    def request_status(self) -> str:
        if self.status in ("draft", "on-hold", "completed", "entered-in-error"):
            return self.status
        return "active" if self.is_open else "revoked"

    def answer(self, actor: Actor, action: str, *, knows_it_as_it_is: bool = True, its_task: bool = True) -> int:
        """Return the expected HTTP status when this actor does this action."""
        sides = self.sides(actor)
        if not sides:
            parties = [self.sender, self.requester, *([self.recipient] if self.sent else [])]
            return 403 if any(actor.may_know_of(party) for party in parties) else 404
        if not knows_it_as_it_is:
            return 412
        row = self._row(action)
        if not its_task or row is None:
            return 409
        return 200 if row[0] & sides else 403

    def answer_to_claim(self, actor: Actor, action: str) -> int:
        """Return the expected HTTP status when this actor claims or releases the referral, with a reason."""
        if RECIPIENT not in self.sides(actor):
            return self.answer(actor, "correct") if not self.sides(actor) else 403
        if not self.is_open or self.status not in (*ASKED, *HELD):
            return 409
        return 409 if (self.claimed_by != "") == (action == "claim") else 200

    def answer_to_information(self, actor: Actor) -> int:
        """Return the expected HTTP status when this actor sends a message that needs no reply."""
        if not self.sides(actor):
            return self.answer(actor, "correct")
        return 200 if self.is_open and self.status != "draft" else 409

    def changed(self, tag: str) -> None:
        """Record a change that leaves the holder and the next actor as they are."""
        self.version += 1
        self.tags.append(self.tag)
        self.tag = tag

    def is_succeeded(self, old: Party, new: Party) -> bool:
        """Put the new team in the place of the old one. Return whether that changes the referral."""
        if not self.is_open:
            return False
        before = (self.sender, self.recipient)
        self.sender = new if self.sender == old else self.sender
        if self.status not in ("rejected", "failed"):
            self.recipient = new if self.recipient == old else self.recipient
        return (self.sender, self.recipient) != before

    def done(self, action: str, task_id: str, tag: str, to: Party | None = None) -> None:
        """Record a transition and update the expected state."""
        row = self._row(action)
        assert row is not None
        if action == "redirect":
            assert to is not None
            if self.status in HELD:
                self.sender = self.recipient
            elif self.status == "failed":
                self.sender = self.requester
            self.recipient = to
            self.former.append(self.task_id)
            self.task_id = task_id
        if action in ("cancel", "complete", "correct"):
            self.is_open = False
        if not self.is_open or action in ("redirect", "reject", "fail"):
            self.claimed_by = ""
        self.sent = self.sent or action == "request"
        self.status, self.version = row[1], self.version + 1
        self.tags.append(self.tag)
        self.tag = tag

    def _row(self, action: str) -> tuple[set[str], str] | None:
        if action == "correct":
            return None if self.status == "entered-in-error" else ({REQUESTER}, "entered-in-error")
        rows = MAY[action] if self.is_open else []
        return next(((who, to) for states, who, to in rows if self.status in states), None)

    def sides(self, actor: Actor) -> set[str]:
        stands = {REQUESTER: self.requester, SENDER: self.sender, **({RECIPIENT: self.recipient} if self.sent else {})}
        return {side for side, party in stands.items() if actor.acts_for(party)}
