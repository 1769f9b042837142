"""Only a verified token identifies the caller."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from onestory.shared.errors import Unauthenticated, Unavailable
from onestory.shared.http.caller import TokenVerifier, create_http_client
from onestory.shared.policy import Caller

ISSUER = "https://issuer.example"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


def jwks() -> dict[str, Any]:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))
    return {"keys": [{**public, "kid": "k1", "use": "sig", "alg": "ES256"}]}


def signed(key: ec.EllipticCurvePrivateKey = KEY, kid: str = "k1", **claims: Any) -> str:
    standing = {"iss": ISSUER, "aud": "onestory", "sub": "user-1", "exp": time.time() + 60, "org": "A81001"}
    kept = {name: value for name, value in {**standing, **claims}.items() if value is not None}
    return jwt.encode(kept, key, algorithm="ES256", headers={"kid": kid})


def verify(authorization: str | None, answer: Callable[[httpx.Request], httpx.Response] | None = None) -> Caller:
    issuer = answer or (lambda _request: httpx.Response(200, json=jwks()))

    async def call() -> Caller:
        async with httpx.AsyncClient(transport=httpx.MockTransport(issuer)) as http:
            return await TokenVerifier(ISSUER, "onestory", f"{ISSUER}/jwks", http).caller(authorization)

    return asyncio.run(call())


def test_a_verified_token_names_the_caller() -> None:
    token = signed(role="R8000", network="north", system="emis-web", purpose="ETREAT")

    caller = verify(f"Bearer {token}")

    assert caller == Caller("A81001", "emis-web", "user-1", "R8000", "north", "ETREAT")
    assert (caller.role, caller.network, caller.purpose) == ("R8000", "north", "ETREAT")
    assert caller.has_system_claim
    assert not verify(f"Bearer {signed()}").has_system_claim


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": 1}, "expired"),
        ({"aud": "another"}, "audience"),
        ({"iss": "https://elsewhere.example"}, "issuer"),
        ({"org": None}, "lacks the claim org"),
        ({"sub": None}, "lacks the claim sub"),
        ({"org": "A81/001"}, "ODS code"),
        ({"role": 7}, "role must be a string"),
        ({"org": "A8100\uff11"}, "ODS code"),
        ({"sub": "a\0b"}, "sub must have at most 512 bytes of UTF-8, without NUL"),
        ({"role": "R8000\0"}, "role must have"),
        ({"system": "\ud800"}, "system must have"),
        ({"network": "\udfff"}, "network must have"),
        ({"purpose": "p" * 513}, "purpose must have"),
    ],
)
def test_a_token_that_does_not_verify_is_refused_with_the_reason(claims: dict[str, Any], said: str) -> None:
    with pytest.raises(Unauthenticated, match=said):
        verify(f"Bearer {signed(**claims)}")


def test_a_token_that_never_ends_is_refused() -> None:
    head = {"alg": "ES256", "kid": "k1"}
    body = b'{"iss":"%b","aud":"onestory","sub":"user-1","org":"A81001","exp":1e999}' % ISSUER.encode()
    token = jwt.api_jws.encode(body, KEY, algorithm="ES256", headers=head)

    with pytest.raises(Unauthenticated, match="form is wrong"):
        verify(f"Bearer {token}")


@pytest.mark.parametrize("header", [None, "", "Basic dXNlcg==", "Bearer", "Bearer ", "Bearer not.a.token"])
def test_no_token_is_no_caller(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        verify(header)


def test_a_signature_by_another_key_is_refused() -> None:
    with pytest.raises(Unauthenticated, match="signature"):
        verify(f"Bearer {signed(OTHER_KEY)}")


def made_by_hand(algorithm: str, secret: bytes) -> str:
    """A token made by hand, as an attacker makes it: no library refuses to sign it."""
    claims = {"iss": ISSUER, "aud": "onestory", "sub": "x", "org": "A81001", "exp": time.time() + 60}
    parts = [{"alg": algorithm, "kid": "k1", "typ": "JWT"}, claims]
    signing_input = b".".join(base64url(json.dumps(part).encode()) for part in parts)
    signature = hmac.digest(secret, signing_input, "sha256") if secret else b""
    return (signing_input + b"." + base64url(signature)).decode()


def base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def test_an_unsigned_token_is_refused() -> None:
    with pytest.raises(Unauthenticated):
        verify(f"Bearer {made_by_hand('none', b'')}")


def test_a_public_key_is_not_taken_as_a_shared_secret() -> None:
    # given a token signed by HMAC with the issuer's public key
    forged = made_by_hand("HS256", json.dumps(jwks()["keys"][0]).encode())

    with pytest.raises(Unauthenticated):
        verify(f"Bearer {forged}")


def test_an_issuer_that_does_not_answer_is_no_fault_of_the_token() -> None:
    with pytest.raises(Unavailable):
        verify(f"Bearer {signed()}", lambda _request: httpx.Response(500))


def test_a_flood_of_unknown_key_ids_asks_the_issuer_once() -> None:
    asked = 0

    def answer(_request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        return httpx.Response(200, json=jwks())

    async def flood() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            tokens = TokenVerifier(ISSUER, "onestory", f"{ISSUER}/jwks", http)
            for number in range(20):
                with pytest.raises(Unauthenticated):
                    await tokens.caller(f"Bearer {signed(kid=f'made-up-{number}')}")

    asyncio.run(flood())

    assert asked == 1


class _Issuer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(jwks()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def issuer_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Issuer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/jwks"
        server.shutdown()
        thread.join()


async def _ready(url: str) -> bool:
    async with create_http_client() as http:
        return await TokenVerifier(ISSUER, "onestory", url, http).ready()


def test_a_loopback_issuer_is_never_asked_through_a_proxy(issuer_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # No server listens on port 9, so every request through this proxy fails.
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)

    assert asyncio.run(_ready(issuer_url))
    assert asyncio.run(_ready(issuer_url.replace("127.0.0.1", "localhost")))
    assert not asyncio.run(_ready("http://issuer.invalid/jwks"))


def test_an_issuer_that_does_not_answer_is_not_ready_and_the_log_says_why() -> None:
    with structlog.testing.capture_logs() as logged:
        assert not asyncio.run(_ready("http://127.0.0.1:9/jwks"))

    assert [entry["event"] for entry in logged] == ["issuer_keys_not_fetched"]
    assert logged[0]["url"] == "http://127.0.0.1:9/jwks"
    assert logged[0]["because"].startswith("ConnectError")
