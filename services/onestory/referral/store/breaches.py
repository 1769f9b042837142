"""Open referrals on which nobody acted in time, as those who take part in them may see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from onestory.referral.domain.place import Place
from onestory.referral.domain.referral import Referral
from onestory.referral.domain.worklist import ACTING
from onestory.referral.store.referrals import BRIEF, referral_of
from onestory.shared.database import Queries


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for: of what an organisation has sent (`requester`; empty: of nothing), and of what these teams
    were asked for, hold, or have to act on; where that other `organisation` takes part; late since then, until now.
    """

    requester: str
    teams: Sequence[str]
    organisation: str
    since: datetime
    now: datetime


# A draft is its requester's alone; what a team has given back does not wait for that team any more.
_ASKED = """
    is_open and due_at between $4 and $5
    and (
        ($1 <> '' and requester_organisation = $1)
        or (recipient_team = any($2::text[]) and status = any($6::text[]))
        or (holder_team <> '' and holder_team = any($2::text[]))
        or (next_team <> '' and next_team = any($2::text[]))
    )
    and ($3 = '' or $3 in (requester_organisation, sender_organisation, recipient_organisation))
"""


async def page(queries: Queries, question: Question, after: Place | None, most: int) -> list[Referral]:
    """What is late the longest first, from after that place."""
    beyond = "and (due_at, referral_id) > ($7, $8)" if after else ""
    rows = await queries.fetch(
        f"""select {BRIEF} from referral.referral where {_ASKED} {beyond}
            order by due_at, referral_id limit {int(most)}""",  # noqa: S608
        *_values(question),
        *([after.moment, after.name] if after else []),
    )
    return [referral_of(row) for row in rows]


async def count(queries: Queries, question: Question) -> tuple[int, int]:
    """How many there are on all pages, and how many of them were escalated."""
    row = await queries.fetchrow(
        f"select count(*), count(escalated_at) from referral.referral where {_ASKED}",  # noqa: S608
        *_values(question),
    )
    return row[0], row[1]


def _values(question: Question) -> list[object]:
    acting = [str(each) for each in ACTING]
    sides = [question.requester, list(question.teams), question.organisation]
    return [*sides, question.since, question.now, acting]
