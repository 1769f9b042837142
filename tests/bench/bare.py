"""The raw limit of a read: an endpoint that joins and sends the rows of one person, and does nothing else."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_ROWS = """select content from current join statement using (person_key, shared_id, event_id)
           where current.person_key = $1 and visible"""


def main() -> None:
    """`python -m tests.bench.bare POSTGRES PORT`: `GET /<n>` answers the n-th person's rows."""
    postgres, port = sys.argv[1:]
    uvicorn.run(_app(postgres), host="127.0.0.1", port=int(port), log_level="error", access_log=False)


def _app(postgres: str) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with asyncpg.create_pool(postgres, server_settings={"search_path": "record", "jit": "off"}) as pool:
            app.state.pool = pool
            keys = await pool.fetch("select person_key from current group by 1 having count(*) = 30 limit 200")
            app.state.keys = [row["person_key"] for row in keys]
            yield

    async def read(request: Request) -> Response:
        key = request.app.state.keys[int(request.path_params["n"])]
        rows = await request.app.state.pool.fetch(_ROWS, key)
        return Response(b"[" + b",".join(row["content"] for row in rows) + b"]", media_type="application/json")

    return Starlette(routes=[Route("/{n}", read)], lifespan=lifespan)


if __name__ == "__main__":
    main()
