"""`Publisher`, the class with which a clinical system publishes FHIR to OneStory, and `Backoff`, its pauses."""

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
from onestory.shared.backoff import growing_pause_s
from onestory.shared.errors import Misconfigured, Unauthenticated, Unavailable, Unprocessable

MIN_PAUSE_S = 0.25
MAX_PAUSE_S = 15.0
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
MAX_FAULTS = 3
_RETRY_REASONS: Mapping[int, str] = {
    408: "the server timed out",
    425: "the server is still working on this item",
    429: "the server asks for fewer requests",
    502: "the gateway cannot reach the server",
    503: "the server is not available",
    504: "the gateway got no answer from the server",
}
_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class Publisher:
    """Publishes FHIR R4 JSON as one source. It repeats a request safely until it has an answer.

        async def main() -> None:
            async with Publisher("https://record.example.nhs.uk", token, system="ward-system") as publisher:
                receipt = await publisher.publish(Path("discharge.json").read_bytes(), idempotency_key="discharge-4711")
                for refusal in receipt.refusals:
                    print(refusal.status, refusal.field, refusal.reason)

        asyncio.run(main())

    Many tasks may use it at the same time. `token` is a bearer token, or a function that returns one; it is called in
    a thread, and again when OneStory refuses the last token. The caller closes `client`; without one, the publisher
    opens and closes its own.
    """

    def __init__(
        self,
        base_url: str,
        token: str | Callable[[], str],
        *,
        system: str = "",
        backoff: Backoff | None = None,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        local = _is_local(base_url)
        if not (system.isascii() and system.isprintable()):
            raise Unprocessable("The name of the source system must be printable ASCII, because a header carries it.")
        self._base_url = base_url.rstrip("/")
        self._client = client or open_client(base_url)
        self._owns_client = client is None
        self._backoff = backoff or Backoff()
        self._system = system
        # On one machine, compression costs more than it saves.
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
        """Publish one resource or Bundle without a change to its bytes, and return the receipt.

        An accepted item is in Kafka on all in-sync replicas. A repetition with the same `idempotency_key` is harmless,
        also from another process. Without a key each call makes a statement of its own.

        Raises `Malformed` or `TooLarge` for content that cannot be sent, `Unauthenticated` when OneStory refuses the
        token, and `Misconfigured` when another server answers. Raises `Unavailable` when no answer came before
        `backoff` gave up: the outcome is unknown, so repeat the call with the same key.
        """
        return await self.send(submission.build_request(content), content, idempotency_key or uuid.uuid4().hex)

    async def send(self, request: PublishRequest, content: bytes, idempotency_key: str) -> Receipt:
        """Publish content whose request was built before."""
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
                await self._backoff.pause(attempt, f"the server cannot be reached ({type(error).__name__})")
                continue
            if response.status_code == 401 and self._get_token and not renewed:
                renewed = bool(await self._renew(token))
            elif response.status_code == 500 and (faults := faults + 1) < MAX_FAULTS:
                await self._backoff.pause(attempt, "the server failed")
            elif why := _RETRY_REASONS.get(response.status_code):
                await self._backoff.pause(attempt, why, retry_after_s(response.headers.get("Retry-After")))
            else:
                self._backoff.succeeded()
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
        """Return a token other than `refused`. Tasks that need one at the same time share one renewal."""
        async with self._renewing:
            if self._get_token is not None and self._token == refused:
                self._token = await asyncio.to_thread(self._get_token)
            return self._token


def _receipt(response: httpx.Response) -> Receipt:
    if response.status_code == 401:
        raise Unauthenticated("The server refuses the token. It may have expired, or belong to another deployment.")
    if response.status_code == 500:
        why = f"The server failed on this item {MAX_FAULTS} times. The outcome is unknown, so publish it again."
        return Receipt(500, refusals=(Refusal(why, 500),))
    return submission.read_receipt(response)


def open_client(
    base_url: str, connections: int = 100, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """Return a client for publishers at `base_url` with at most `connections` connections. Locally it uses no proxy."""
    if transport is None and _is_local(base_url) and base_url.startswith("http:"):
        transport = LoopbackTransport(connections)
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncClient(timeout=TIMEOUT, limits=limits, transport=transport, trust_env=not _is_local(base_url))


def _is_local(base_url: str) -> bool:
    """Return whether the server is on this machine. Raises `Misconfigured` for a text that is no base URL."""
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise Misconfigured("The base URL must look like https://host[:port].")
    return url.host in _LOCAL_HOSTS


class Backoff:
    """Growing pauses with jitter between attempts. It gives up when no request has succeeded for `limit_s` seconds.

    All publishers of one server share one, so that an item gives up only when no other item succeeds either.
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
        """Why the last attempt failed, or empty after a success."""
        self._limit_s = limit_s
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter
        self._failing_since: float | None = None

    def succeeded(self) -> None:
        """Begin to count `limit_s` again, because the server answered."""
        self._failing_since = None
        self.waiting_for = ""

    async def pause(self, attempt: int, why: str, retry_after_s: float = 0.0) -> None:
        """Wait before the attempt that follows `attempt` (from 0), for at least `retry_after_s` seconds.

        Raises `Unavailable` with the reason `why` when the limit would pass before that.
        """
        now = self._clock()
        self._failing_since = now if self._failing_since is None else self._failing_since
        self.waiting_for = why
        pause_s = growing_pause_s(attempt, MIN_PAUSE_S, MAX_PAUSE_S)
        seconds = retry_after_s + pause_s * (0.5 + self._jitter() / 2)
        if now + seconds - self._failing_since > self._limit_s:
            raise Unavailable(f"Gave up after {self._limit_s:.0f} s without any progress: {why}. Publish again.")
        await self._sleep(seconds)


def retry_after_s(header: str | None) -> float:
    """Return the seconds in a Retry-After header, a number or a date (RFC 9110, section 10.2.3); else 0."""
    if not header:
        return 0.0
    if header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0
