"""Verifies the bearer token of a request with the issuer's keys (JWKS), and returns the caller."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import jwt
import structlog
from cachetools import TLRUCache

from onestory.shared.errors import Unauthenticated, Unavailable
from onestory.shared.identity import is_storable
from onestory.shared.policy import Caller

log = structlog.get_logger()

LOOPBACK_URLS = ("all://127.0.0.1", "all://[::1]", "all://localhost")
"""httpx patterns of the addresses that no proxy may be asked for."""
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
_REQUIRED = ["iss", "aud", "exp", "sub", "org"]
_KEYS_MAX_AGE_S = 3600.0
_REFRESH_INTERVAL_S = 10.0
_RETRY_INTERVAL_S = 1.0
_MAX_CACHED_TOKENS = 4096
_TOKEN_MAX_AGE_S = 600.0
_DEFAULT_SYSTEM = "default"


def create_http_client() -> httpx.AsyncClient:
    """Return a client that uses the proxy of the environment, but never for a loopback address."""
    return httpx.AsyncClient(mounts={pattern: httpx.AsyncHTTPTransport() for pattern in LOOPBACK_URLS})


class TokenVerifier:
    """Verifies tokens. A verified token is cached until it expires, because checking its signature is slow."""

    def __init__(self, issuer: str, audience: str, jwks_url: str, http_client: httpx.AsyncClient) -> None:
        self._issuer = issuer
        self._audience = audience
        self._jwks_url = jwks_url
        self._http_client = http_client
        self._keys: dict[str, jwt.PyJWK] = {}
        self._keys_fetched_at = float("-inf")
        self._failed_at = float("-inf")
        self._fetch_lock = asyncio.Lock()
        self._verified: TLRUCache[str, Caller, float] = TLRUCache(_MAX_CACHED_TOKENS, _cached_until, time.time)

    async def caller(self, authorization: str | None) -> Caller:
        """Return the caller of an `Authorization` header.

        Raises `Unauthenticated`, or `Unavailable` when the issuer's keys cannot be fetched.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send a bearer token: Authorization: Bearer <token>.")
        return self._verified.get(token) or await self._verify(token)

    async def ready(self) -> bool:
        """Return whether keys of the issuer are known, and fetch them when they are not."""
        if not self._keys:
            try:
                await self._fetch_keys()
            except Unavailable:
                return False
        return True

    async def _verify(self, token: str) -> Caller:
        caller = _caller(self._decode(token, await self._key(token)))
        self._verified[token] = caller
        return caller

    def _decode(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=self._audience,
                issuer=self._issuer,
                options={"require": _REQUIRED},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"The token does not verify: {_reason(error)}.") from error
        return claims

    async def _key(self, token: str) -> jwt.PyJWK:
        try:
            kid = str(jwt.get_unverified_header(token).get("kid", ""))
        except jwt.PyJWTError as error:
            raise Unauthenticated("The token is not a signed JWT.") from error
        if kid not in self._keys or time.monotonic() - self._keys_fetched_at > _KEYS_MAX_AGE_S:
            try:
                await self._fetch_keys()
            except Unavailable:
                # A known key stays valid while the issuer does not answer.
                if kid not in self._keys:
                    raise
        if kid not in self._keys:
            raise Unauthenticated("The token is signed with a key that the issuer does not publish.")
        return self._keys[kid]

    async def _fetch_keys(self) -> None:
        async with self._fetch_lock:
            # Many tokens with invented key ids must not cause many requests to the issuer.
            if time.monotonic() - self._keys_fetched_at < _REFRESH_INTERVAL_S:
                return
            # Requests that wait here must not each wait for an issuer that does not answer.
            if time.monotonic() - self._failed_at < _RETRY_INTERVAL_S:
                raise _issuer_unavailable()
            try:
                response = (await self._http_client.get(self._jwks_url, timeout=3.0)).raise_for_status()
                keys = jwt.PyJWKSet.from_dict(response.json()).keys
            except (httpx.HTTPError, ValueError, AttributeError, jwt.PyJWTError) as error:
                self._failed_at = time.monotonic()
                log.warning("issuer_keys_not_fetched", url=self._jwks_url, because=_fetch_failure(error))
                raise _issuer_unavailable() from error
            self._keys = {str(key.key_id): key for key in keys}
            self._keys_fetched_at = time.monotonic()


def _cached_until(_token: str, caller: Caller, now: float) -> float:
    """Return when a verified token leaves the cache, in seconds since 1970."""
    # Limit the time, or a token would stay valid after the issuer has withdrawn its key.
    return min(caller.expires_at, now + _TOKEN_MAX_AGE_S)


def _fetch_failure(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"status {error.response.status_code}"
    # The text of an httpx error names hosts and causes, never a header or a body.
    return f"{type(error).__name__}: {error}" if isinstance(error, httpx.HTTPError) else "the answer is not a JWKS"


def _issuer_unavailable() -> Unavailable:
    return Unavailable("The token issuer's keys cannot be fetched. Try again.")


def _caller(claims: dict[str, Any]) -> Caller:
    organisation = claims["org"]
    if not isinstance(organisation, str) or not (organisation.isascii() and organisation.isalnum()):
        raise Unauthenticated("The token's claim org must be an ODS code.")
    system = _text(claims, "system")
    return Caller(
        organisation=organisation.upper(),
        system=system or _DEFAULT_SYSTEM,
        subject=_text(claims, "sub"),
        role=_text(claims, "role"),
        network=_text(claims, "network"),
        purpose=_text(claims, "purpose") or "TREAT",
        expires_at=float(claims["exp"]),
        has_system_claim=bool(system),
    )


def _text(claims: dict[str, Any], name: str) -> str:
    """The text of a claim; empty if the token lacks it. Raises `Unauthenticated` for a text that cannot be stored."""
    value = claims.get(name, "")
    if not isinstance(value, str):
        raise Unauthenticated(f"The token's claim {name} must be a string.")
    if not is_storable(value) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise Unauthenticated(
            f"The token's claim {name} must have at most 512 bytes of UTF-8, without NUL and lone surrogates."
        )
    return value


def _reason(error: jwt.PyJWTError) -> str:
    match error:
        case jwt.ExpiredSignatureError():
            return "it has expired"
        case jwt.InvalidAudienceError():
            return "it is for another audience"
        case jwt.InvalidIssuerError():
            return "it is from another issuer"
        case jwt.MissingRequiredClaimError():
            return f"it lacks the claim {error.claim}"
        case jwt.ImmatureSignatureError():
            return "it is not valid yet"
        case _:
            return "its signature or form is wrong"
