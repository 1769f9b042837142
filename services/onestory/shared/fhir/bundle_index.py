"""Finds the entry of a Bundle that a reference names (http://hl7.org/fhir/R4/bundle.html#references).

A relative reference belongs to the server of the entry in which it stands: `Patient/1` in the entry with the fullUrl
`http://b.example/fhir/Condition/7` is `http://b.example/fhir/Patient/1`. Two servers may have the same logical id, so
a resource of another server is never taken instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from onestory.shared.errors import Unprocessable

RELATIVE_REFERENCE = re.compile(r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})")
"""A reference of the form `Type/id`."""

_VERSION = re.compile(r"/_history/[^/]*$")
_RESTFUL = re.compile(rf"(?P<root>https?://[^?#]+)/(?P<relative>{RELATIVE_REFERENCE.pattern})")
_RELATIVE_URL = re.compile(rf"(?P<relative>{RELATIVE_REFERENCE.pattern})")


class IndexedEntry(Protocol):
    """One entry: its index in Bundle.entry, its fullUrl or "", its type, and its Resource.id or ""."""

    @property
    def index(self) -> int: ...
    @property
    def full_url(self) -> str: ...
    @property
    def resource_type(self) -> str: ...
    @property
    def resource_id(self) -> str: ...


EntryT = TypeVar("EntryT", bound=IndexedEntry)


class BundleIndex(Generic[EntryT]):
    """The entries of one Bundle by the names that references use. `base_url` is that of this deployment.

    An entry without a fullUrl has the URL `[base_url]/Type/id`, made from its Resource.id.
    """

    def __init__(self, entries: Sequence[EntryT], base_url: str) -> None:
        self._base_url = base_url
        self._by_url: dict[str, EntryT] = {}
        # By Type/id: the entries whose fullUrl names their server, and the entries whose server is not known.
        self._of_servers: dict[str, list[EntryT]] = {}
        self._of_no_server: dict[str, list[EntryT]] = {}
        for entry in entries:
            if entry.full_url:
                self._by_url.setdefault(entry.full_url, entry)
            group = self._of_no_server if root_of(entry) is None else self._of_servers
            for relative in _relative_names(entry):
                group.setdefault(relative, []).append(entry)

    def find(self, reference: str, referrer: IndexedEntry) -> EntryT | None:
        """Return the entry that a reference in the entry `referrer` names, or None when the Bundle has none.

        The reference is a URL or `Type/id`, with or without a version. It must not be `#id`.

        Raises `Unprocessable` instead of a guess: when several entries are called so and the server of `referrer` is
        not known, and when only another server's resource is called so.
        """
        relative = self.normalise(reference)
        if not RELATIVE_REFERENCE.fullmatch(relative):
            return self._by_url.get(relative)
        root = self._base_url if reference.startswith(f"{self._base_url}/") else root_of(referrer)
        named, unnamed = self._of_servers.get(relative, []), self._of_no_server.get(relative, [])
        if root is None:
            return _single([*named[:2], *unnamed[:2]])
        exact = self._by_url.get(f"{root}/{relative}")
        if root == self._base_url and (exact or not named):
            return _single([exact, *unnamed[:2]] if exact else unnamed)
        if exact is None and (named or unnamed):
            raise _only_elsewhere((named or unnamed)[0])
        return exact

    def find_url(self, url: str) -> EntryT | None:
        """Return the entry with this fullUrl, or None."""
        return self._by_url.get(url)

    def normalise(self, reference: str) -> str:
        """Return the reference without a version. A URL below the own base URL becomes relative."""
        return _VERSION.sub("", reference).removeprefix(f"{self._base_url}/")


def root_of(entry: IndexedEntry) -> str | None:
    """Return the base URL of the entry's server: its fullUrl without `/Type/id`.

    None when the fullUrl is not RESTful, or names another type than the resource has.
    """
    match = _RESTFUL.fullmatch(entry.full_url)
    return match["root"] if match and match["type"] == entry.resource_type else None


def _relative_names(entry: IndexedEntry) -> set[str]:
    names = {f"{entry.resource_type}/{entry.resource_id}"} if entry.resource_id else set()
    match = _RESTFUL.fullmatch(entry.full_url) or _RELATIVE_URL.fullmatch(entry.full_url)
    if match and match["type"] == entry.resource_type:
        names.add(match["relative"])
    return names


def _single(entries: Sequence[EntryT]) -> EntryT | None:
    if len(entries) > 1:
        raise Unprocessable(
            f"This reference can mean Bundle.entry[{entries[0].index}] and Bundle.entry[{entries[1].index}], because "
            "both have this type and id. Send the fullUrl of the one that is meant.",
            code="multiple-matches",
        )
    return entries[0] if entries else None


def _only_elsewhere(entry: IndexedEntry) -> Unprocessable:
    return Unprocessable(
        "A relative reference is to the server of its own entry's fullUrl, and the submission has no such entry of "
        f"that server. Bundle.entry[{entry.index}] has the type and id, but another fullUrl. Include the resource, or "
        "send the fullUrl of the entry that is meant.",
        code="not-found",
    )
