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

_MAX_STARTS = 8
_WORD = re.compile(rb"[^\s\"'\\<>]+")
_VERSION = re.compile(r"/_history/[^/]*$")
# A RESTful URL. Without a server it is relative, and then its server is not known.
_URL = re.compile(rf"(?:(?P<root>https?://[^?#]+)/)?(?P<relative>{RELATIVE_REFERENCE.pattern})")


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
    """The entries of one Bundle by the names that references use.

    `base_url` is the FHIR base URL of this deployment. An entry without a fullUrl has the URL `[base_url]/Type/id`,
    made from its Resource.id.
    """

    def __init__(self, entries: Sequence[EntryT], base_url: str) -> None:
        self._base_url = base_url
        self._by_url: dict[str, EntryT] = {}
        # By Type/id: the entries whose fullUrl names their server, and the entries whose server is not known.
        self._of_servers: dict[str, list[EntryT]] = {}
        self._of_no_server: dict[str, list[EntryT]] = {}
        self._roots: dict[int, str | None] = {}
        self._starts: set[bytes] | None = None
        self._urls: set[bytes] = set()
        for entry in entries:
            if entry.full_url:
                self._by_url.setdefault(entry.full_url, entry)
            root, names = _place(entry)
            self._roots[entry.index] = root
            group = self._of_no_server if root is None else self._of_servers
            for relative in names:
                group.setdefault(relative, []).append(entry)

    def find(self, reference: str, referrer: IndexedEntry) -> EntryT | None:
        """Return the entry that a reference in the entry `referrer` names, or None when the Bundle has none.

        The reference is a URL or `Type/id`, with or without a version. It must not be `#id`.

        Raises `Unprocessable` instead of a guess: when several entries are called so and the server of `referrer` is
        not known, and when only another server's resource is called so.
        """
        if reference.startswith("urn:"):
            return self._by_url.get(reference)
        relative = self.normalise(reference)
        if not RELATIVE_REFERENCE.fullmatch(relative):
            return self._by_url.get(relative)
        root = self._base_url if reference.startswith(f"{self._base_url}/") else self.root_of(referrer)
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

    def root_of(self, entry: IndexedEntry) -> str | None:
        """Return the base URL of the server of one of the entries: its fullUrl without `/Type/id`.

        None when the fullUrl is not RESTful, or names another type than the resource has.
        """
        return self._roots[entry.index]

    def may_be_named_in(self, content: bytes) -> bool:
        """Return whether these bytes may hold a fullUrl of the Bundle, or a URL below the own base URL."""
        if self._starts is None:
            self._starts = {_start_of(url).encode() for url in self._by_url} | {self._base_url.encode()}
            self._urls = {url.encode() for url in self._by_url}
        if len(self._starts) <= _MAX_STARTS:
            return any(start in content for start in self._starts)
        # One pass over the content, however many servers the Bundle has.
        return self._base_url.encode() in content or not self._urls.isdisjoint(_WORD.findall(content))

    def normalise(self, reference: str) -> str:
        """Return the reference without a version. A URL below the own base URL becomes relative."""
        return _VERSION.sub("", reference).removeprefix(f"{self._base_url}/")


def _start_of(full_url: str) -> str:
    """Return a text that every content has which holds this fullUrl: `urn:uuid:`, the server, or the whole URL."""
    if full_url.startswith("urn:"):
        return full_url[: full_url.find(":", 4) + 1] or full_url
    match = _URL.fullmatch(full_url)
    return match["root"] or full_url if match else full_url


def _place(entry: IndexedEntry) -> tuple[str | None, set[str]]:
    """Return the base URL of the entry's server, and the relative references that lead to the entry."""
    names = {f"{entry.resource_type}/{entry.resource_id}"} if entry.resource_id else set()
    if not entry.full_url or entry.full_url.startswith("urn:"):
        return None, names
    match = _URL.fullmatch(entry.full_url)
    if not match or match["type"] != entry.resource_type:
        return None, names
    return match["root"], {*names, match["relative"]}


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
