"""Reads the bodies of requests that change one referral, and checks large ones in a worker process.

Such a body is read as a whole in the event loop afterwards. So its number of JSON values is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.size import refuse_too_many_values
from onestory.shared.fhir.validate import validate
from onestory.shared.http.request import read_body
from onestory.shared.policy import Caller
from onestory.shared.worker_processes import LARGE_BODY, WorkerProcesses


@dataclass(frozen=True, slots=True)
class BodyReader:
    """Reads bodies within the limits of a deployment. `max_values` counts the JSON values of a large body."""

    workers: WorkerProcesses
    max_bytes: int
    max_values: int

    async def read(self, request: Request, caller: Caller, *, optional: bool = False) -> bytes:
        """Return the body, as `read_body` does. Raises `Unprocessable` or `TooLarge` for a large one."""
        body = await read_body(request, self.max_bytes, optional=optional)
        if len(body) > LARGE_BODY:
            await self.workers.run(worker_key(caller), refuse_costly, body, self.max_values)
        return body


def worker_key(caller: Caller) -> str:
    """Return the name under which the large bodies of a caller wait for each other."""
    return f"{caller.organisation}/{caller.system}"


def refuse_costly(body: bytes, max_values: int) -> None:
    """Raise `TooLarge` for too many JSON values, and `Malformed` or `Unprocessable` for a body that is not valid."""
    refuse_too_many_values(body, max_values)
    if issues := validate(body):
        raise Unprocessable(issues[0].diagnostics, issues=issues)
