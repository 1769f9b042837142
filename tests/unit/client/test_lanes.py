"""Work of one lane keeps its order, and a limited number of lanes run at once."""

from __future__ import annotations

import asyncio

from onestory.client.run import OrderedLanes


class Work:
    """Pieces of work that last one turn of the event loop each, with a log of their order."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.most_at_once = 0
        self._running = 0

    async def do(self, name: str) -> None:
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        self.log.append(f"{name} begins")
        await asyncio.sleep(0)
        self.log.append(f"{name} ends")
        self._running -= 1


def test_work_of_one_lane_keeps_its_order_and_lanes_run_side_by_side() -> None:
    work = Work()

    async def run() -> None:
        async with OrderedLanes(4) as lanes:
            for name in ("a1", "a2", "b1", "a3"):
                await lanes.submit(name[0], lambda name=name: work.do(name))  # type: ignore[misc]

    asyncio.run(run())

    lane = [line for line in work.log if line.startswith("a")]
    assert lane == ["a1 begins", "a1 ends", "a2 begins", "a2 ends", "a3 begins", "a3 ends"]
    assert work.log.index("b1 begins") < work.log.index("a1 ends")


def test_no_more_runs_at_once_than_the_width() -> None:
    work = Work()

    async def run() -> None:
        async with OrderedLanes(3) as lanes:
            for number in range(20):
                await lanes.submit(str(number), lambda number=number: work.do(str(number)))  # type: ignore[misc]

    asyncio.run(run())

    assert work.most_at_once == 3
    assert len(work.log) == 40
