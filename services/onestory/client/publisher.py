"""`Publisher`: what a clinical system imports to publish FHIR to OneStory."""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import itertools
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

import httpx

from onestory.client import submission
from onestory.client.loopback import LoopbackTransport
from onestory.client.submission import PublishRequest, Receipt, Refusal
from onestory.shared.errors import Misconfigured, Unauthenticated, Unavailable, Unprocessable

# How long to go on asking a door that does not answer.

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 15.0


class Backoff:
    """Pauses between attempts, growing and jittered, until nothing at all has succeeded for `limit_s` seconds.

    One is shared by everything that talks to the same door, so that a slow item gives up only when all others do.
    """

    def __init__(
        self,
        limit_s: float = 120.0,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.waiting_for = ""
        """Why the last attempt failed; empty once one has succeeded."""
        self._limit_s = limit_s
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter
        self._failing_since: float | None = None

    def succeeded(self) -> None:
        """The door answered: the count of seconds begins anew."""
        self._failing_since = None
        self.waiting_for = ""

    async def pause(self, attempt: int, why: str, retry_after_s: float = 0.0) -> None:
        """Wait before the attempt after `attempt` (from 0), at least as long as the door asked.

        Raises `Unavailable`, saying `why`, when patience would end before that.
        """
        now = self._clock()
        self._failing_since = now if self._failing_since is None else self._failing_since
        self.waiting_for = why
        backoff = min(FIRST_PAUSE_S * 2 ** min(attempt, 16), LONGEST_PAUSE_S)
        seconds = retry_after_s + backoff * (0.5 + self._jitter() / 2)
        if now + seconds - self._failing_since > self._limit_s:
            raise Unavailable(f"Gave up after {self._limit_s:.0f} s without any progress: {why}.")
        await self._sleep(seconds)


def retry_after_s(header: str | None) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110, section 10.2.3): a number or a date; else 0."""
    if not header:
        return 0.0
    if header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0


TIMEOUT = httpx.Timeout(60.0, connect=5.0)
FAULT_TRIES = 3

_RETRIED: Mapping[int, str] = {
    408: "the door timed out",
    425: "the door is still busy with this item",
    429: "the door asks for fewer requests",
    502: "the gateway cannot reach the door",
    503: "the door is not available",
    504: "the gateway waited for the door in vain",
}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Publisher:
    """Publishes FHIR R4 JSON as one source, and repeats safely until each submission has an answer.

        async def main() -> None:
            async with Publisher("https://record.example.nhs.uk", token, system="ward-system") as publisher:
                receipt = await publisher.publish(Path("discharge.json").read_bytes(), idempotency_key="discharge-4711")
                for refusal in receipt.refusals:
                    print(refusal.status, refusal.field, refusal.reason)

        asyncio.run(main())

    It may be used by many tasks at once. `token` is a bearer token, or a function that gets one (called in a thread,
    and again when the door no longer takes the last one). `client` stays the caller's to close; without one, the
    publisher opens its own.
    """

    def __init__(
        self,
        base_url: str,
        token: str | Callable[[], str],
        *,
        system: str = "",
        patience: Backoff | None = None,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        local = _is_here(base_url)
        if not (system.isascii() and system.isprintable()):
            raise Unprocessable("The source system's name must be printable ASCII: it travels in a header.")
        self._base_url = base_url.rstrip("/")
        self._client = client or open_client(base_url)
        self._owns_client = client is None
        self._patience = patience or Backoff()
        self._system = system
        # On one machine compression costs more than it saves.
        self._compresses = not local
        self._get_token = token if callable(token) else None
        self._token = "" if callable(token) else token
        self._renewing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owns_client:
            await self._client.aclose()

    async def publish(self, content: bytes, *, idempotency_key: str | None = None) -> Receipt:
        """Publish one resource or Bundle, as it is written, and give the door's receipt: taken, or refused and why.

        Once a receipt says it was taken, it is in Kafka on all in-sync replicas. The same `idempotency_key` makes a
        repeat harmless, in another process too; without one each call is a statement of its own. Raises `Malformed` or
        `TooLarge` for what cannot be sent, `Unavailable` when the door gave no answer for as long as patience lasts
        (the outcome is unknown: repeat with the same key), `Unauthenticated` when it does not take the token,
        `Misconfigured` when what answers is not OneStory.
        """
        return await self.send(submission.read_request(content), content, idempotency_key or uuid.uuid4().hex)

    async def send(self, request: PublishRequest, content: bytes, idempotency_key: str) -> Receipt:
        """`publish` for content that has been read already."""
        headers = self._headers(idempotency_key)
        body = gzip.compress(content, compresslevel=1) if self._compresses else content
        faults = 0
        renewed = False
        for attempt in itertools.count():
            token = self._token or await self._renew("")
            headers["Authorization"] = f"Bearer {token}"
            try:
                response = await self._client.request(
                    request.method, self._base_url + request.path, content=body, headers=headers
                )
            except httpx.TransportError as error:
                await self._patience.pause(attempt, f"the door cannot be reached ({type(error).__name__})")
                continue
            if response.status_code == 401 and self._get_token and not renewed:
                renewed = bool(await self._renew(token))
            elif response.status_code == 500 and (faults := faults + 1) < FAULT_TRIES:
                await self._patience.pause(attempt, "the door failed")
            elif why := _RETRIED.get(response.status_code):
                await self._patience.pause(attempt, why, retry_after_s(response.headers.get("Retry-After")))
            else:
                self._patience.succeeded()
                return _receipt(response)
        raise AssertionError("unreachable")

    def _headers(self, idempotency_key: str) -> dict[str, str]:
        headers = {
            "Content-Type": "application/fhir+json",
            "Accept": "application/fhir+json",
            "Prefer": "return=minimal",
            "Idempotency-Key": idempotency_key,
        }
        if self._system:
            headers["X-Source-System"] = self._system
        if self._compresses:
            headers["Content-Encoding"] = "gzip"
        else:
            headers["Accept-Encoding"] = "identity"
        return headers

    async def _renew(self, refused: str) -> str:
        """A token other than `refused`, got once however many tasks find out at the same time."""
        async with self._renewing:
            if self._get_token is not None and self._token == refused:
                self._token = await asyncio.to_thread(self._get_token)
            return self._token


def open_client(
    base_url: str, connections: int = 100, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """A client for publishers at `base_url`, with at most that many connections; proxies are for other machines."""
    if transport is None and _is_here(base_url) and base_url.startswith("http:"):
        transport = LoopbackTransport(connections)
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncClient(timeout=TIMEOUT, limits=limits, transport=transport, trust_env=not _is_here(base_url))


def _is_here(base_url: str) -> bool:
    """Whether the door is on this machine. Raises `Misconfigured` for what is no base URL."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise Misconfigured("The base URL must look like https://host[:port].")
    return url.host in _LOOPBACK


def _receipt(response: httpx.Response) -> Receipt:
    if response.status_code == 401:
        raise Unauthenticated("The door does not take the token: it may have expired, or be for another place.")
    if response.status_code == 500:
        why = f"The door failed on this {FAULT_TRIES} times, so whether it was taken is unknown."
        return Receipt(500, refusals=(Refusal(why, 500),))
    return submission.read_receipt(response)
