"""Who calls: a bearer token, verified against the issuer's keys, as organisation, user, role, network and purpose."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt

from onestory.shared.errors import Unauthenticated, Unavailable

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
_REQUIRED = ["iss", "aud", "exp", "sub", "org"]
_KEYS_KEPT_S = 3600.0
_KEYS_ASKED_AGAIN_S = 10.0
_ISSUER_RESTS_S = 1.0
_TOKENS_KEPT = 4096
_TOKEN_KEPT_S = 600.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Claims of a verified token: `org` (ODS code), `system`, `sub`, `role`, `network`, `purpose`; and `exp`."""

    organisation: str
    system: str
    subject: str
    role: str
    network: str
    purpose: str
    # One who comes with a newer token is the same caller.
    expires_at: float = field(default=math.inf, compare=False)


class Tokens:
    """Verifies tokens. A verified token is remembered until it expires: its signature is the dear part of a request."""

    def __init__(self, issuer: str, audience: str, jwks_url: str, http: httpx.AsyncClient) -> None:
        self._issuer = issuer
        self._audience = audience
        self._jwks_url = jwks_url
        self._http = http
        self._keys: dict[str, jwt.PyJWK] = {}
        self._keys_at = float("-inf")
        self._failed_at = float("-inf")
        self._refreshing = asyncio.Lock()
        self._verified: dict[str, tuple[float, Caller]] = {}

    async def caller(self, authorization: str | None) -> Caller:
        """The caller behind an `Authorization` header. Raises `Unauthenticated`, or `Unavailable` without an issuer."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send a bearer token: Authorization: Bearer <token>.")
        known = self._verified.get(token)
        if known and known[0] > time.time():
            return known[1]
        return await self._verify(token)

    async def _verify(self, token: str) -> Caller:
        claims = self._decode(token, await self._key(token))
        caller = _caller(claims)
        if len(self._verified) >= _TOKENS_KEPT:
            self._verified.clear()
        # Not for ever, or a token would outlive a key that the issuer has withdrawn.
        self._verified[token] = (min(float(claims["exp"]), time.time() + _TOKEN_KEPT_S), caller)
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
        if kid not in self._keys or time.monotonic() - self._keys_at > _KEYS_KEPT_S:
            try:
                await self._refresh()
            except Unavailable:
                # A key that is known stays good while the issuer is away.
                if kid not in self._keys:
                    raise
        if kid not in self._keys:
            raise Unauthenticated("The token is signed with a key that the issuer does not publish.")
        return self._keys[kid]

    async def _refresh(self) -> None:
        async with self._refreshing:
            # A flood of tokens with made-up key ids may not become a flood of calls to the issuer.
            if time.monotonic() - self._keys_at < _KEYS_ASKED_AGAIN_S:
                return
            # Nor may those who wait here each wait for an issuer that does not answer.
            if time.monotonic() - self._failed_at < _ISSUER_RESTS_S:
                raise _issuer_away()
            try:
                response = (await self._http.get(self._jwks_url, timeout=3.0)).raise_for_status()
                keys = jwt.PyJWKSet.from_dict(response.json()).keys
            except (httpx.HTTPError, ValueError, AttributeError, jwt.PyJWTError) as error:
                self._failed_at = time.monotonic()
                raise _issuer_away() from error
            self._keys = {str(key.key_id): key for key in keys}
            self._keys_at = time.monotonic()


def _issuer_away() -> Unavailable:
    return Unavailable("The token issuer's keys cannot be fetched; try again.")


def _caller(claims: dict[str, Any]) -> Caller:
    organisation = claims["org"]
    if not isinstance(organisation, str) or not organisation.isalnum():
        raise Unauthenticated("The token's claim org must be an ODS code.")
    return Caller(
        organisation=organisation.upper(),
        system=_text(claims, "system") or "default",
        subject=_text(claims, "sub"),
        role=_text(claims, "role"),
        network=_text(claims, "network"),
        purpose=_text(claims, "purpose") or "TREAT",
        expires_at=float(claims["exp"]),
    )


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str):
        raise Unauthenticated(f"The token's claim {name} must be a string.")
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
