"""What a search finds among the entries that a caller sees, and which of it is on this page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from onestory.record.domain.search.asked import Search
from onestory.record.domain.search.place import Place, SortedPlace
from onestory.record.domain.search.sorting import Order, Placed
from onestory.record.reading.opened import opened
from onestory.record.reading.reader import Reader
from onestory.record.reading.view import page
from onestory.record.store import places
from onestory.record.store.entries import CurrentEntry
from onestory.shared.database import Database

Read = tuple[CurrentEntry, Mapping[str, Any]]
Result = TypeVar("Result")
_MANY = 300
_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Found:
    """All that matches, what of it is on this page with its contents, and where the next page begins."""

    matching: Sequence[CurrentEntry]
    held: Sequence[CurrentEntry]
    ahead: Place | SortedPlace | None


async def find(reader: Reader, database: Database, candidates: Sequence[CurrentEntry], search: Search) -> Found:
    """What matches among candidates, which are in order by type and id."""
    if not search.reads_contents:
        held, ahead = page(candidates, search.question)
        return Found(candidates, await reader.fetched(held), ahead)
    met = await _beside_if_many(candidates, partial(_met, await reader.fetched(candidates), search))
    if search.order is not None:
        return await _sorted(database, candidates, met, search, search.order)
    matching = [entry for entry, _ in met]
    return Found(matching, *page(matching, search.question))


async def _sorted(
    database: Database, candidates: Sequence[CurrentEntry], met: Sequence[Read], search: Search, order: Order
) -> Found:
    """Places are those of the first page: what was said since is shown as it is now, where it stood then.

    So nothing jumps over the page that the caller is at, back or forth.
    """
    after = search.after
    as_of = after.as_of if after else max(map(_said_at, candidates), default=_BEGINNING)
    changed = [entry for entry, _ in met if not entry.composed and _said_at(entry) > as_of]
    earlier = await places.contents_at(database, changed, as_of)
    known = {(entry.resource_type, entry.shared_id): entry for entry, _ in met}
    placed = await _beside_if_many(met, partial(_placed, met, earlier, order))
    left = placed if after is None else [each for each in placed if order.is_after(each, after)]
    held = left[: search.question.count]
    ahead = SortedPlace(*held[-1], as_of) if held and len(left) > len(held) else None
    return Found([known[each[1:]] for each in placed], [known[each[1:]] for each in held], ahead)


def _met(entries: Sequence[CurrentEntry], search: Search) -> list[Read]:
    return [(entry, resource) for entry in entries if search.is_met(resource := opened(entry))]


def _placed(met: Sequence[Read], earlier: Mapping[str, bytes], order: Order) -> list[Placed]:
    placed = [
        Placed(order.keys(_as_it_was(entry, resource, earlier)), entry.resource_type, entry.shared_id)
        for entry, resource in met
    ]
    order.sort(placed)
    return placed


async def _beside_if_many(entries: Sequence[object], work: Callable[[], Result]) -> Result:
    # Above this it would be felt by the others who wait for the event loop.
    return await asyncio.to_thread(work) if len(entries) > _MANY else work()


def _as_it_was(entry: CurrentEntry, resource: Mapping[str, Any], earlier: Mapping[str, bytes]) -> Mapping[str, Any]:
    was = earlier.get(entry.shared_id)
    return opened(entry._replace(content=was)) if was else resource


def _said_at(entry: CurrentEntry) -> datetime:
    return entry.broker_time or _BEGINNING
