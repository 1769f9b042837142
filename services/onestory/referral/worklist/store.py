"""SQL of worklists: pages of open referrals, counts, single rows, and the Tasks of a page.

A statement is built from the names and conditions below; every value is an argument.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from onestory.referral.lifecycle.model import Referral
from onestory.referral.lifecycle.store import BRIEF_COLUMNS, referral_from_row
from onestory.referral.worklist.domain import (
    RECIPIENT_STATUSES,
    Filters,
    Sort,
    SortKey,
    WorklistCursor,
    WorklistScope,
    sort_key,
)
from onestory.shared.events import Party
from onestory.shared.postgres.database import Queries

_TABLE = "referral.referral"
_STATUSES = ", ".join(f"'{status}'" for status in RECIPIENT_STATUSES)
# Held without having been received. The index on holders has the same condition.
_HELD = f"holder_team <> '' and not (holder_team = recipient_team and status in ({_STATUSES}))"
_OTHER_REFERRER = "referrer_organisation <> requester_organisation"
_OTHER_IS_NEXT = "next_team <> '' and next_team <> recipient_team and next_team <> holder_team"
# A row can name a transaction that this database has not begun yet: one from before it was restored from a copy. Such a
# row counts as visible.
_VISIBLE_IN = (
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
    """A row of a list, and its sort key."""

    referral: Referral
    sort_key: SortKey


class StatusCount(NamedTuple):
    """How many referrals of one status and priority a list has; how many of them are late, and how many unclaimed."""

    status: str
    priority: str
    number: int
    breached: int
    unclaimed: int


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The list to read: its scope and filters, and the time that decides what is late."""

    scope: WorklistScope
    filters: Filters
    at: datetime


async def current_snapshot(queries: Queries) -> str:
    """The pg_snapshot of these queries: which transactions they see."""
    text: str = await queries.fetchval("select pg_current_snapshot()::text")
    return text


async def list_page(
    queries: Queries, query: ListQuery, sort: Sort, cursor: WorklistCursor, limit: int
) -> list[ListedReferral]:
    """The rows after the cursor's sort key, in order, at most `limit`."""
    sql = _SqlConditions(query)
    order, direction = _ORDERS[sort]
    key = cursor.sort_key
    conditions = [_VISIBLE_IN.format(sql.value(cursor.until))]
    if cursor.since:
        conditions.append(f"not {_VISIBLE_IN.format(sql.value(cursor.since))}")
    if key:
        comparison = "<" if direction else ">"
        after = ", ".join(sql.value(value) for value in (*key.values, key.referral_id))
        conditions.append(f"({order}, referral_id) {comparison} ({after})")
    ordered = ", ".join(f"{column}{direction}" for column in (*_columns(order), "referral_id"))
    tail = f"order by {ordered} limit {sql.value(limit)}"
    branches = [f"(select * from {_TABLE} where {branch} {tail})" for branch in sql.branches(*conditions)]  # noqa: S608
    rows = await queries.fetch(
        f"select {BRIEF_COLUMNS}, urgency from ({_union(branches)}) as listed {tail}",  # noqa: S608
        *sql.values,
    )
    listed = [(referral_from_row(row), row["urgency"]) for row in rows]
    return [ListedReferral(referral, sort_key(referral, sort, urgency)) for referral, urgency in listed]


async def count_by_status(queries: Queries, query: ListQuery) -> list[StatusCount]:
    """Count the rows of all pages."""
    sql = _SqlConditions(query)
    at = sql.value(query.at)
    columns = "status, priority, due_at, claimed_by"
    branches = [f"select {columns} from {_TABLE} where {branch}" for branch in sql.branches()]  # noqa: S608
    rows = await queries.fetch(
        f"""select status, priority, count(*), count(*) filter (where due_at <= {at}),
                count(*) filter (where claimed_by = '')
            from ({_union(branches)}) as listed group by status, priority""",  # noqa: S608
        *sql.values,
    )
    return [StatusCount(*row) for row in rows]


async def has_changes_since(queries: Queries, query: ListQuery, since: str) -> bool:
    """Return whether a referral that is on the list now was changed after this snapshot."""
    sql = _SqlConditions(query)
    after = f"not {_VISIBLE_IN.format(sql.value(since))}"
    branches = [f"(select from {_TABLE} where {branch} limit 1)" for branch in sql.branches(after)]
    return bool(await queries.fetchval(f"select exists ({_union(branches)})", *sql.values))


async def listed_referrals(queries: Queries, query: ListQuery, referral_ids: Collection[str]) -> list[Referral]:
    """The ones of these referrals that are on the list."""
    sql = _SqlConditions(query)
    these = f"{_by_ids(sql.value(_person_keys(referral_ids)), sql.value(sorted(referral_ids)))}"
    branches = [f"select * from {_TABLE} where {branch}" for branch in sql.branches(these)]  # noqa: S608
    rows = await queries.fetch(f"select {BRIEF_COLUMNS} from ({_union(branches)}) as listed", *sql.values)  # noqa: S608
    return [referral_from_row(row) for row in rows]


async def referrals_by_ids(queries: Queries, referral_ids: Collection[str]) -> list[Referral]:
    """These referrals, whether or not they are on a list."""
    rows = await queries.fetch(
        f"select {BRIEF_COLUMNS} from {_TABLE} where {_by_ids('$1', '$2')}",  # noqa: S608
        _person_keys(referral_ids),
        sorted(referral_ids),
    )
    return [referral_from_row(row) for row in rows]


async def tasks(queries: Queries, referrals: Sequence[Referral]) -> dict[str, bytes]:
    """The current Tasks of these referrals by Task id, as FHIR JSON."""
    rows = await queries.fetch(
        """select shared_id, content from referral.resource
           where (person_key, shared_id) in (select * from unnest($1::text[], $2::text[]))""",
        [referral.person_key for referral in referrals],
        [referral.task_id for referral in referrals],
    )
    return {row["shared_id"]: row["content"] for row in rows}


async def claimed_teams(queries: Queries, subject: str) -> list[Party]:
    """The teams for which a user has claimed open referrals."""
    rows = await queries.fetch(
        """select distinct recipient_organisation, recipient_team from referral.referral
           where is_open and claimed_by <> '' and claimed_by = $1""",
        subject,
    )
    return [Party(*row) for row in rows]


async def organisation_of_team(queries: Queries, team_id: str) -> str | None:
    """The organisation of a team as its open referrals name it; None where it has none.

    This finds the organisation of a team that the directory no longer has.
    """
    organisation: str | None = await queries.fetchval(
        f"""(select recipient_organisation from {_TABLE} where is_open and recipient_team = $1 limit 1)
            union all (select holder_organisation from {_TABLE} where is_open and {_HELD} and holder_team = $1 limit 1)
            limit 1""",  # noqa: S608
        team_id,
    )
    return organisation


async def outbox_age_s(queries: Queries) -> float:
    """For how many seconds the oldest event in the outbox has waited for Kafka; 0 where none waits."""
    age_s: float | None = await queries.fetchval(
        "select extract(epoch from now() - at)::float8 from referral.outbox order by id limit 1"
    )
    return max(0.0, age_s or 0.0)


class _SqlConditions:
    """A query as SQL conditions, and the arguments that they refer to."""

    def __init__(self, query: ListQuery) -> None:
        self.values: list[object] = []
        self._scope = query.scope
        self._filters = [*self._filter_conditions(query)]

    def value(self, value: object) -> str:
        """Add an argument; return its placeholder, such as `$1`."""
        self.values.append(value)
        return f"${len(self.values)}"

    def branches(self, *conditions: str) -> list[str]:
        """Return one condition for each index that the scope uses, each with `conditions`. No row meets two of them."""
        return [" and ".join(("is_open", branch, *self._filters, *conditions)) for branch in self._scope_branches()]

    def _scope_branches(self) -> list[str]:
        scope = self._scope
        if scope.requester:
            # The last two are rare: each has an index with its condition.
            organisation = self.value(scope.requester)
            others = f"{_OTHER_REFERRER} and referrer_organisation = {organisation}"
            return [
                f"requester_organisation = {organisation}",
                others,
                f"practice <> '' and practice = {organisation} and requester_organisation <> {organisation}"
                f" and not ({others})",
            ]
        # One team is compared with `=`, not with `any`: then its index gives the rows in order.
        is_single = len(scope.teams) == 1
        teams = self.value(scope.teams[0] if is_single else list(scope.teams))
        teams = teams if is_single else f"any({teams})"
        received = f"recipient_team = {teams} and status in ({_STATUSES})"
        branches = [received]
        if not scope.received_only:
            branches.append(f"{_HELD} and holder_team = {teams} and not ({received})")
            asked_about = f"{_OTHER_IS_NEXT} and next_team = {teams}"
            branches.append(f"{asked_about} and not (holder_team = {teams}) and not ({received})")
        if scope.claimed_for:
            claimed = f"claimed_by <> '' and claimed_by = {self.value(scope.claimer)}"
            for_team = f"recipient_team = any({self.value(list(scope.claimed_for))}) and status in ({_STATUSES})"
            branches.append(
                f"{claimed} and {for_team} and not ({received}) and not (holder_team = {teams})"
                f" and not ({_OTHER_IS_NEXT} and next_team = {teams})"
            )
        return branches

    def _filter_conditions(self, query: ListQuery) -> Collection[str]:
        filters, conditions = query.filters, []
        for name in ("status", "priority", "kind"):
            if wanted := getattr(filters, name):
                conditions.append(f"{name} = any({self.value(list(wanted))})")
        if filters.breached is not None:
            conditions.append(f"due_at {'<=' if filters.breached else '>'} {self.value(query.at)}")
        if filters.requester:
            conditions.append(f"requester_organisation = {self.value(filters.requester)}")
        if filters.claimed == "me":
            conditions.append(f"claimed_by = {self.value(self._scope.claimer)} and claimed_by <> ''")
        elif filters.claimed:
            conditions.append(f"claimed_by {'=' if filters.claimed == 'nobody' else '<>'} ''")
        if filters.own_turn and self._scope.requester:
            conditions.append(f"next_organisation = {self.value(self._scope.requester)}")
        elif filters.own_turn:
            conditions.append(f"next_team = any({self.value(sorted(self._scope.recipient_teams))})")
        return conditions


def _union(branches: Sequence[str]) -> str:
    return " union all ".join(branches)


def _columns(order: str) -> list[str]:
    return [order] if "(" in order else order.split(", ")


def _by_ids(person_keys: str, ids: str) -> str:
    return f"person_key = any({person_keys}::text[]) and referral_id = any({ids}::text[])"


def _person_keys(referral_ids: Collection[str]) -> list[str]:
    return sorted({referral_id.partition("-")[0] for referral_id in referral_ids})
