"""The breach list: what is late, for whoever takes part in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from onestory.referral.domain.place import Place
from onestory.referral.domain.referral import Referral
from onestory.referral.domain.worklist import Whose
from onestory.referral.domain.worklist_row import row, to_name
from onestory.referral.store import breaches, directory
from onestory.referral.store.breaches import Question
from onestory.referral.worklists import Worklists
from onestory.shared.caller import Caller
from onestory.shared.database import Database


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what is late, how many there are in all, how many of them were escalated, and where the next begins."""

    at: datetime
    referrals: Sequence[Referral]
    total: int
    escalated: int
    next: Place | None


class Breaches:
    """Reads the list. For whom the caller may read is asked anew each time: roles end."""

    def __init__(self, database: Database, lists: Worklists, now: Callable[[], datetime] | None = None) -> None:
        self._database = database
        self._lists = lists
        self._now = now or (lambda: datetime.now(UTC))

    async def whose(self, caller: Caller, team: str) -> Whose:
        """One team's, or else what one's organisation has sent and all teams whose lists the caller may read.

        Raises `NotFound` and `Forbidden` for a team.
        """
        if team:
            return await self._lists.team(caller, team)
        teams = await self._lists.teams(caller)
        return Whose(teams=tuple(each.team_id for each in teams), requester=caller.organisation)

    async def page(self, whose: Whose, organisation: str, since: datetime, after: Place | None, most: int) -> Page:
        """A page, and counts of the same moment. What is late since the first page is not on the later ones."""
        now = after.at if after else self._now()
        question = Question(whose.requester, whose.teams, organisation, since, now)
        async with self._database.snapshot() as queries:
            found = await breaches.page(queries, question, after, most + 1)
            total, escalated = await breaches.count(queries, question)
        shown = found[:most]
        last = shown[-1] if len(found) > most else None
        following = Place(now, last.due_at, last.referral_id) if last and last.due_at else None
        return Page(now, shown, total, escalated, following)

    async def written(self, page: Page, whose: Whose) -> list[dict[str, Any]]:
        """Rows of a worklist, as JSON, with the names that the directory has."""
        names = await directory.names(self._database, *to_name(page.referrals))
        return [row(each, names, _side(each, whose), page.at) for each in page.referrals]


def _side(referral: Referral, whose: Whose) -> Whose:
    """On which side the reader stands: with the teams, where one of them takes part."""
    parties = (referral.recipient, referral.holder, referral.next_actor)
    if any(party and party.team and party.team in whose.teams for party in parties):
        return Whose(teams=whose.teams, claimer=whose.claimer)
    return Whose(requester=whose.requester, claimer=whose.claimer)
