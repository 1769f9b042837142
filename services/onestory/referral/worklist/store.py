"""Lists of open referrals: pages of them, counts, and single rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from onestory.referral.lifecycle.model import Referral
from onestory.referral.lifecycle.store import BRIEF, referral_of
from onestory.referral.worklist.domain import ACTING, Cursor, Filters, RowPlace, Sort, Whose, keys_of
from onestory.shared.events import Party
from onestory.shared.postgres.database import Queries

# Statements are put together of these names and conditions; every value is an argument.
_TABLE = "referral.referral"
_ACTING = ", ".join(f"'{each}'" for each in ACTING)
# As the index on holders has it.
_HELD = f"holder_team <> '' and not (holder_team = recipient_team and status in ({_ACTING}))"
_TURN = "next_team <> '' and next_team <> recipient_team and next_team <> holder_team"
# A transaction of which this database has not heard is one of before it was restored from a copy.
_SEEN = (
    "(pg_visible_in_snapshot(changed_in, {0}::text::pg_snapshot)"
    " or changed_in >= pg_snapshot_xmax(pg_current_snapshot()))"
)
_ORDERS = {
    Sort.URGENCY: ("urgency, due_at", ""),
    Sort.DUE: ("due_at", ""),
    Sort.SENT: ("coalesce(sent_at, created_at)", ""),
    Sort.CHANGED: ("changed_at", " desc"),
}


class ListedReferral(NamedTuple):
    """A row, and its place in the order."""

    referral: Referral
    place: RowPlace


class StatusCount(NamedTuple):
    """How many of a status and a priority there are."""

    status: str
    priority: str
    number: int
    breached: int
    unclaimed: int


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Whose list, and what of it: at this moment."""

    whose: Whose
    filters: Filters
    at: datetime


async def snapshot(queries: Queries) -> str:
    """What of the database is visible to these queries."""
    text: str = await queries.fetchval("select pg_current_snapshot()::text")
    return text


async def page(queries: Queries, question: ListQuery, sort: Sort, cursor: Cursor, most: int) -> list[ListedReferral]:
    """The rows after the cursor's place."""
    asked = _SqlConditions(question)
    order, direction = _ORDERS[sort]
    place = cursor.place
    conditions = [_SEEN.format(asked.value(cursor.until))]
    if cursor.since:
        conditions.append(f"not {_SEEN.format(asked.value(cursor.since))}")
    if place:
        comparison = "<" if direction else ">"
        after = ", ".join(asked.value(key) for key in (*place.keys, place.referral_id))
        conditions.append(f"({order}, referral_id) {comparison} ({after})")
    ordered = ", ".join(f"{each}{direction}" for each in (*_columns(order), "referral_id"))
    tail = f"order by {ordered} limit {asked.value(most)}"
    branches = [f"(select * from {_TABLE} where {each} {tail})" for each in asked.branches(*conditions)]  # noqa: S608
    rows = await queries.fetch(f"select {BRIEF}, urgency from ({_union(branches)}) as listed {tail}", *asked.values)  # noqa: S608
    found = [(referral_of(row), row["urgency"]) for row in rows]
    return [ListedReferral(each, RowPlace(keys_of(each, sort, urgency), each.referral_id)) for each, urgency in found]


async def counts(queries: Queries, question: ListQuery) -> list[StatusCount]:
    """How many there are on all pages."""
    asked = _SqlConditions(question)
    at = asked.value(question.at)
    columns = "status, priority, due_at, claimed_by"
    branches = [f"select {columns} from {_TABLE} where {each}" for each in asked.branches()]  # noqa: S608
    rows = await queries.fetch(
        f"""select status, priority, count(*), count(*) filter (where due_at <= {at}),
                count(*) filter (where claimed_by = '')
            from ({_union(branches)}) as listed group by status, priority""",  # noqa: S608
        *asked.values,
    )
    return [StatusCount(*row) for row in rows]


async def is_changed(queries: Queries, question: ListQuery, since: str) -> bool:
    """Whether anything that is on the list now was changed after this snapshot."""
    asked = _SqlConditions(question)
    after = f"not {_SEEN.format(asked.value(since))}"
    branches = [f"(select from {_TABLE} where {each} limit 1)" for each in asked.branches(after)]
    return bool(await queries.fetchval(f"select exists ({_union(branches)})", *asked.values))


async def rows(queries: Queries, question: ListQuery, referral_ids: Collection[str]) -> list[Referral]:
    """Those of these referrals that are on the list."""
    asked = _SqlConditions(question)
    these = f"{_of_these(asked.value(_person_keys(referral_ids)), asked.value(sorted(referral_ids)))}"
    branches = [f"select * from {_TABLE} where {each}" for each in asked.branches(these)]  # noqa: S608
    found = await queries.fetch(f"select {BRIEF} from ({_union(branches)}) as listed", *asked.values)  # noqa: S608
    return [referral_of(row) for row in found]


async def any_of(queries: Queries, referral_ids: Collection[str]) -> list[Referral]:
    """These referrals, on whatever list they are."""
    found = await queries.fetch(
        f"select {BRIEF} from {_TABLE} where {_of_these('$1', '$2')}",  # noqa: S608
        _person_keys(referral_ids),
        sorted(referral_ids),
    )
    return [referral_of(row) for row in found]


async def tasks(queries: Queries, referrals: Sequence[Referral]) -> dict[str, bytes]:
    """The Tasks in force of these referrals, by their ids, as they are read."""
    found = await queries.fetch(
        """select shared_id, content from referral.resource
           where (person_key, shared_id) in (select * from unnest($1::text[], $2::text[]))""",
        [each.person_key for each in referrals],
        [each.task_id for each in referrals],
    )
    return {row["shared_id"]: row["content"] for row in found}


async def claimed_for(queries: Queries, subject: str) -> list[Party]:
    """The teams for which a user has claimed what is open."""
    found = await queries.fetch(
        """select distinct recipient_organisation, recipient_team from referral.referral
           where is_open and claimed_by <> '' and claimed_by = $1""",
        subject,
    )
    return [Party(*row) for row in found]


async def organisation_of(queries: Queries, team_id: str) -> str | None:
    """The organisation of a team, as what it was asked or holds says it; None where there is nothing."""
    found: str | None = await queries.fetchval(
        f"""(select recipient_organisation from {_TABLE} where is_open and recipient_team = $1 limit 1)
            union all (select holder_organisation from {_TABLE} where is_open and {_HELD} and holder_team = $1 limit 1)
            limit 1""",  # noqa: S608
        team_id,
    )
    return found


async def lateness(queries: Queries) -> float:
    """For how many seconds the oldest change has waited to be told to Kafka; 0 where none waits."""
    found: float | None = await queries.fetchval(
        "select extract(epoch from now() - at)::float8 from referral.outbox order by id limit 1"
    )
    return max(0.0, found or 0.0)


class _SqlConditions:
    """A question as SQL conditions, with its values as arguments."""

    def __init__(self, question: ListQuery) -> None:
        self.values: list[object] = []
        self._whose = question.whose
        self._filters = [*self._conditions(question)]

    def value(self, value: object) -> str:
        """The place of an argument with this value."""
        self.values.append(value)
        return f"${len(self.values)}"

    def branches(self, *conditions: str) -> list[str]:
        """Conditions that no row meets two of, each with an index of its own; and each with all of these."""
        return [" and ".join(("is_open", each, *self._filters, *conditions)) for each in self._of_whom()]

    def _of_whom(self) -> list[str]:
        whose = self._whose
        if whose.requester:
            return [f"requester_organisation = {self.value(whose.requester)}"]
        # One team is asked for as such: then its index gives the rows in their order.
        one = len(whose.teams) == 1
        teams = self.value(whose.teams[0] if one else list(whose.teams))
        teams = teams if one else f"any({teams})"
        received = f"recipient_team = {teams} and status in ({_ACTING})"
        found = [received]
        if not whose.received_only:
            found.append(f"{_HELD} and holder_team = {teams} and not ({received})")
            asked = f"{_TURN} and next_team = {teams}"
            found.append(f"{asked} and not (holder_team = {teams}) and not ({received})")
        if whose.claimed_for:
            claimed = f"claimed_by <> '' and claimed_by = {self.value(whose.claimer)}"
            theirs = f"recipient_team = any({self.value(list(whose.claimed_for))}) and status in ({_ACTING})"
            found.append(
                f"{claimed} and {theirs} and not ({received}) and not (holder_team = {teams})"
                f" and not ({_TURN} and next_team = {teams})"
            )
        return found

    def _conditions(self, question: ListQuery) -> Collection[str]:
        filters, found = question.filters, []
        for name in ("status", "priority", "kind"):
            if wanted := getattr(filters, name):
                found.append(f"{name} = any({self.value(list(wanted))})")
        if filters.breached is not None:
            found.append(f"due_at {'<=' if filters.breached else '>'} {self.value(question.at)}")
        if filters.requester:
            found.append(f"requester_organisation = {self.value(filters.requester)}")
        if filters.claimed == "me":
            found.append(f"claimed_by = {self.value(self._whose.claimer)} and claimed_by <> ''")
        elif filters.claimed:
            found.append(f"claimed_by {'=' if filters.claimed == 'nobody' else '<>'} ''")
        if filters.mine_next and self._whose.requester:
            found.append(f"next_organisation = {self.value(self._whose.requester)}")
        elif filters.mine_next:
            found.append(f"next_team = any({self.value(sorted(self._whose.recipients))})")
        return found


def _union(branches: Sequence[str]) -> str:
    return " union all ".join(branches)


def _columns(order: str) -> list[str]:
    return [order] if "(" in order else order.split(", ")


def _of_these(person_keys: str, ids: str) -> str:
    return f"person_key = any({person_keys}::text[]) and referral_id = any({ids}::text[])"


def _person_keys(referral_ids: Collection[str]) -> list[str]:
    return sorted({each.partition("-")[0] for each in referral_ids})
