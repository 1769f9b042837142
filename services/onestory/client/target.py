"""Which door to publish to, with which tokens: as told, else the embedded stack on this machine."""

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
    """A door. Without a `token`, the embedded stack's issuer gives one for each organisation that is asked for."""

    base_url: str
    token: str
    state: Path
    """Directory of the journals."""

    def source(self, organisation: str, system: str) -> ClaimedSource:
        """The source of all items, as far as the arguments or the token's `org` claim name it."""
        return ClaimedSource(organisation or _claimed_organisation(self.token), system)

    def journal(self, paths: Sequence[Path], source: ClaimedSource) -> Path:
        """Where the journal of this very run is: the same files, for the same source, at the same door."""
        identity = (
            self.base_url,
            source.organisation or self.token,
            source.system,
            *map(str, map(Path.resolve, paths)),
        )
        digest = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:16]
        return self.state / f"publish-{digest}.journal"


def find_target(base_url: str | None, token: str | None, environment: Mapping[str, str] | None = None) -> PublishTarget:
    """The door that arguments, ONESTORY_BASE_URL and ONESTORY_TOKEN name, in this order; else the embedded stack.

    Raises `Misconfigured` when another door is named without a token, or none is named and there is no stack.
    """
    environment = os.environ if environment is None else environment
    token = token or environment.get("ONESTORY_TOKEN", "")
    named = base_url or environment.get("ONESTORY_BASE_URL", "")
    stack = _embedded_stack()
    if stack is not None and named.rstrip("/") in ("", stack.base_url.rstrip("/")):
        # Its journals lie with its data: they shall not outlive it.
        return PublishTarget(stack.base_url, token, Path(stack.home) / "publish")
    if not named:
        raise Misconfigured("There is no embedded stack here: give --base-url and --token, or start one: onestory up")
    if not token:
        raise Misconfigured("There is no token for this door: give --token or set ONESTORY_TOKEN.")
    return PublishTarget(named, token, _state_folder(environment) / "publish")


class Publishers:
    """One publisher for each source, over one pool of connections."""

    def __init__(
        self,
        target: PublishTarget,
        patience: Backoff,
        connections: int,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.client = open_client(target.base_url, connections, transport)
        self._target = target
        self._patience = patience
        self._known: dict[ClaimedSource, Publisher] = {}

    def __call__(self, source: ClaimedSource) -> Publisher:
        """Raises `Unprocessable` when nothing says which organisation it is for."""
        if source not in self._known:
            token = self._target.token or _issued(source.organisation)
            self._known[source] = Publisher(
                self._target.base_url, token, system=source.system, patience=self._patience, client=self.client
            )
        return self._known[source]


def _issued(organisation: str) -> Callable[[], str]:
    if not organisation:
        raise Unprocessable("Nothing says which organisation the item is from: give --org, or tag it in meta.tag.")

    def get() -> str:
        from onestory.local.token import fetch_token

        return fetch_token(organisation)

    return get


def _embedded_stack() -> Stack | None:
    try:
        # Not every machine that publishes can run the stack.
        from onestory.local.state import find_home, read_stack
    except ImportError:
        return None
    return read_stack(find_home())


def _claimed_organisation(token: str) -> str:
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return ""
    return str(claims.get("org", ""))


def _state_folder(environment: Mapping[str, str]) -> Path:
    named = environment.get("XDG_STATE_HOME")
    return (Path(named) if named else Path.home() / ".local" / "state") / "onestory"
