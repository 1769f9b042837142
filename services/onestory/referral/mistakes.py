"""A correction takes back all that was a mistake: former Tasks, and what was said."""

from __future__ import annotations

from dataclasses import replace

import orjson

from onestory.referral.domain import creation, mistake
from onestory.referral.domain.command import Changed
from onestory.referral.store import messages, referrals
from onestory.shared.database import Queries
from onestory.shared.identity import Keys


async def with_all_that_was_said(queries: Queries, changed: Changed, keys: Keys) -> Changed:
    """The correction, with all else of the referral that was a mistake too."""
    referral, tasks = changed.referral, await referrals.former_tasks(queries, changed.referral)
    ids = {number: creation.task_id(keys, referral, number) for number in range(1, referral.task_number)}
    former = [mistake.former_task(referral, *each, orjson.loads(tasks[each[1]])) for each in ids.items()]
    said = await messages.every(queries, referral)
    told = [mistake.message(referral, number, each.shared_id, orjson.loads(each.content)) for number, each in said]
    return replace(changed, written=(*changed.written, *former, *told))
