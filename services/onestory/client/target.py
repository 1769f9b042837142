"""Finds the server and the tokens of a client command: from arguments and the environment, else the embedded stack."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import jwt

from onestory.client.publisher import Backoff, Publisher, open_client
from onestory.client.run import ClaimedSource
from onestory.shared.errors import Misconfigured, Unprocessable

if TYPE_CHECKING:
    from onestory.local.state import Stack


@dataclass(frozen=True, slots=True)
class PublishTarget:
    """A server. If `token` is empty, the issuer of the embedded stack gives a token for each organisation."""

    base_url: str
    token: str
    state: Path
    """The folder of the journals."""

    def source(self, organisation: str, system: str) -> ClaimedSource:
        """Return the source of all items, as the arguments or the token's `org` claim name it."""
        return ClaimedSource(organisation or _organisation_in_token(self.token), system)

    def journal(self, paths: Sequence[Path], source: ClaimedSource) -> Path:
        """Return the path of the journal for these files, this source and this server."""
        identity = (
            self.base_url,
            source.organisation or self.token,
            source.system,
            *map(str, map(Path.resolve, paths)),
        )
        digest = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:16]
        return self.state / f"publish-{digest}.journal"


def find_target(base_url: str | None, token: str | None, environment: Mapping[str, str] | None = None) -> PublishTarget:
    """Return the server that the arguments name, else ONESTORY_BASE_URL and ONESTORY_TOKEN, else the embedded stack.

    Raises `Misconfigured` for a named server without a token, and when no server is named and there is no stack.
    """
    environment = os.environ if environment is None else environment
    token = token or environment.get("ONESTORY_TOKEN", "")
    named = base_url or environment.get("ONESTORY_BASE_URL", "")
    stack = _embedded_stack()
    if stack is not None and named.rstrip("/") in ("", stack.base_url.rstrip("/")):
        # The journals are deleted together with the data of the stack.
        return PublishTarget(stack.base_url, token, Path(stack.home) / "publish")
    if not named:
        raise Misconfigured("No embedded stack runs here. Give --base-url and --token, or start one with: onestory up")
    if not token:
        raise Misconfigured("There is no token for this server. Give --token, or set ONESTORY_TOKEN.")
    return PublishTarget(named, token, _state_folder(environment) / "publish")


class SourcePublishers:
    """The publishers of a run: one for each source, over one pool of connections."""

    def __init__(
        self,
        target: PublishTarget,
        backoff: Backoff,
        connections: int,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.client = open_client(target.base_url, connections, transport)
        self._target = target
        self._backoff = backoff
        self._known: dict[ClaimedSource, Publisher] = {}

    def __call__(self, source: ClaimedSource) -> Publisher:
        """Return the publisher of a source. Raises `Unprocessable` when neither token nor organisation is known."""
        if source not in self._known:
            token = self._target.token or _token_from_stack(source.organisation)
            self._known[source] = Publisher(
                self._target.base_url, token, system=source.system, backoff=self._backoff, client=self.client
            )
        return self._known[source]


def _token_from_stack(organisation: str) -> Callable[[], str]:
    if not organisation:
        raise Unprocessable("The item does not name its source organisation. Give --org, or send a tag in meta.tag.")

    def get() -> str:
        from onestory.local.token import fetch_token

        return fetch_token(organisation)

    return get


def _embedded_stack() -> Stack | None:
    try:
        # The stack is an optional dependency, so its modules may be missing.
        from onestory.local.state import find_home, read_stack
    except ImportError:
        return None
    return read_stack(find_home())


def _organisation_in_token(token: str) -> str:
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return ""
    return str(claims.get("org", ""))


def _state_folder(environment: Mapping[str, str]) -> Path:
    named = environment.get("XDG_STATE_HOME")
    return (Path(named) if named else Path.home() / ".local" / "state") / "onestory"
