"""The connections of one process, and the bytes of requests and answers that it holds for each client.

An `Owner` says for whom something counts: organisation, system and subject of a verified token, or else the address.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol

from prometheus_client import Counter, Gauge

from onestory.shared.errors import TooManyRequests, Unavailable
from onestory.shared.http.settings import HttpSettings

Owner = tuple[str, ...]
_SWEEP_S = 1.0

_limited = Counter(
    "onestory_http_limited_total",
    "Requests and connections that met a limit: time-outs, connections, requests in progress, body or unread bytes.",
    ["limit"],
)
_connections = Gauge("onestory_http_connections", "Open HTTP connections.")


def count_limited(limit: str) -> None:
    """Count a request or connection that met this limit."""
    _limited.labels(limit).inc()


def owner_of_address(host: str) -> Owner:
    """Return the owner for an address. All addresses of one IPv6 network of 64 bits are one owner."""
    if ":" not in host:
        return (host,)
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return (host,)
    if address.ipv4_mapped:
        return (str(address.ipv4_mapped),)
    return (str(ipaddress.IPv6Network((address, 64), strict=False)),)


class LimitedConnection(Protocol):
    """The part of a connection that the table needs. `is_waiting`: no request of it is being answered."""

    owner: Owner
    unread: int

    @property
    def is_waiting(self) -> bool: ...

    def abort(self, limit: str) -> None: ...

    def check(self, now: float) -> None: ...


class ByteBudget:
    """Counts bytes by owner, within a limit for one owner and a limit for all."""

    def __init__(self, limit: str, of: str, most_of_owner: int, most: int) -> None:
        self._limit, self._of = limit, of
        self._most_of_owner, self._most = most_of_owner, most
        self._by_owner: defaultdict[Owner, int] = defaultdict(int)
        self._total = 0

    def change(self, owner: Owner, size: int) -> None:
        """Add bytes; a negative size removes them."""
        self._total += size
        self._by_owner[owner] += size
        if self._by_owner[owner] == 0:
            del self._by_owner[owner]

    def require(self, owner: Owner, size: int, own: int = 0) -> None:
        """Check that `size` more bytes fit. `own` of the counted bytes belong to the same request.

        One request alone always fits, whatever its size. Raises `TooManyRequests` or `Unavailable`.
        """
        others = self._by_owner.get(owner, 0) - own
        if others and others + own + size > self._most_of_owner:
            count_limited(self._limit)
            raise TooManyRequests(f"{self._of} Finish some of them, then send this request again.")
        if self._total > own and self._total + size > self._most:
            count_limited(self._limit)
            raise Unavailable("The server holds too many bytes of requests and answers. Try again.")


class HeldBody:
    """The bytes of one request body in memory. `release` gives them back."""

    def __init__(self, budget: ByteBudget, owner: Owner) -> None:
        self._budget = budget
        self._owner = owner
        self._size = 0

    def add(self, size: int) -> None:
        """Count more bytes. Raises `TooManyRequests` or `Unavailable`."""
        self._budget.require(self._owner, size, self._size)
        self._budget.change(self._owner, size)
        self._size += size

    def release(self) -> None:
        """Give all bytes back."""
        self._budget.change(self._owner, -self._size)
        self._size = 0


class ConnectionTable:
    """The open connections of one process, oldest first. It closes those that break a limit."""

    def __init__(self, settings: HttpSettings) -> None:
        self.settings = settings
        self.unread = ByteBudget(
            "unread-bytes",
            "Too many bytes of your answers are unread.",
            settings.max_unread_memory_per_caller,
            settings.max_unread_memory,
        )
        self._all: dict[LimitedConnection, None] = {}
        self._strangers: dict[LimitedConnection, None] = {}
        self._by_owner: defaultdict[Owner, dict[LimitedConnection, None]] = defaultdict(dict)
        self._sweeping: asyncio.TimerHandle | None = None

    def add(self, connection: LimitedConnection) -> bool:
        """Take a new connection of an address in. Return False if there is no room for it.

        Room is made where a limit is reached: the oldest connection on which no request is being answered is closed.
        A flood of unfinished requests so closes itself, and other clients of its address are still answered.
        """
        limits = self.settings
        own = self._by_owner.get(connection.owner, {})
        if len(own) >= limits.max_connections_per_address and not _close_oldest(own):
            return False
        if len(self._all) >= limits.max_connections and not (
            _close_oldest(self._strangers) or _close_oldest(self._all)
        ):
            return False
        self._all[connection] = self._strangers[connection] = self._by_owner[connection.owner][connection] = None
        _connections.inc()
        if self._sweeping is None:
            self._sweep_later()
        return True

    def identify(self, connection: LimitedConnection, owner: Owner) -> None:
        """Count a connection for the caller of its verified token. Raises `TooManyRequests`."""
        if connection.owner == owner or connection not in self._all:
            return
        own = self._by_owner.get(owner, {})
        if len(own) >= self.settings.max_connections_per_caller and not _close_oldest(own):
            count_limited("connections")
            raise TooManyRequests("You have too many connections. Use open connections again, or close some of them.")
        self._leave_owner(connection)
        self._strangers.pop(connection, None)
        self.unread.change(connection.owner, -connection.unread)
        connection.owner = owner
        self.unread.change(owner, connection.unread)
        self._by_owner[owner][connection] = None

    def remove(self, connection: LimitedConnection) -> None:
        """Forget a connection that has ended. It may be forgotten already."""
        if connection in self._all:
            self.set_unread(connection, 0)
            del self._all[connection]
            self._strangers.pop(connection, None)
            self._leave_owner(connection)
            _connections.dec()

    def set_unread(self, connection: LimitedConnection, size: int) -> None:
        """Set how many bytes of answers this connection has not read."""
        if connection in self._all:
            self.unread.change(connection.owner, size - connection.unread)
            connection.unread = size

    def _leave_owner(self, connection: LimitedConnection) -> None:
        own = self._by_owner[connection.owner]
        own.pop(connection, None)
        if not own:
            del self._by_owner[connection.owner]

    def _sweep_later(self) -> None:
        self._sweeping = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Check the time limits of all connections. One timer for all costs a request nothing."""
        self._sweeping = None
        now = asyncio.get_running_loop().time()
        for connection in list(self._all):
            connection.check(now)
        if self._all:
            self._sweep_later()


def _close_oldest(connections: Iterable[LimitedConnection]) -> bool:
    """Close the oldest connection that waits for a request. Return whether there was one."""
    oldest = next((each for each in connections if each.is_waiting), None)
    if oldest is None:
        return False
    oldest.abort("connections")
    return True
