"""A verified token is cached until it expires, and for at most ten minutes."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from onestory.shared.http.caller import TokenVerifier

ISSUER = "https://issuer.example"
KEY = ec.generate_private_key(ec.SECP256R1())


def jwks(_request: httpx.Request) -> httpx.Response:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))
    return httpx.Response(200, json={"keys": [{**public, "kid": "k1", "use": "sig", "alg": "ES256"}]})


@pytest.mark.parametrize(("valid_s", "cached_s"), [(60, 60), (3600, 600)])
def test_a_token_is_verified_again_after_its_time_in_the_cache(
    valid_s: int, cached_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = int(time.time())
    now = [float(began)]
    verified: list[str] = []
    decode = jwt.decode

    def count_and_decode(token: str, *arguments: Any, **options: Any) -> Any:
        verified.append(token)
        return decode(token, *arguments, **options)

    async def verify_at_several_times() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(jwks)) as http:
            verifier = TokenVerifier(ISSUER, "onestory", f"{ISSUER}/jwks", http)
            counts = []
            for seconds in (0, cached_s - 1, cached_s + 1):
                now[0] = began + seconds
                await verifier.caller(f"Bearer {token}")
                counts.append(len(verified))
            return counts

    claims = {"iss": ISSUER, "aud": "onestory", "sub": "user-1", "exp": began + valid_s, "org": "A81001"}
    token = jwt.encode(claims, KEY, algorithm="ES256", headers={"kid": "k1"})
    monkeypatch.setattr(jwt, "decode", count_and_decode)
    monkeypatch.setattr(time, "time", lambda: now[0])

    assert asyncio.run(verify_at_several_times()) == [1, 1, 2]
