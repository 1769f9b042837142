"""`onestory issuer`: a development OpenID provider. Every client gets a token, so only the embedded stack runs it.

It serves OpenID Connect Discovery 1.0, a JWK set (RFC 7517) and a token endpoint. The endpoint has the shape of the
client credentials grant (RFC 6749, section 4.4), and takes the claims of the token from the form.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jwt
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from onestory.local import state
from onestory.shared import settings
from onestory.shared.errors import Misconfigured

ALGORITHM = "ES256"
KEY_ID = "development"
LONGEST_LIFETIME_S = 30 * 24 * 3600
OPTIONAL_CLAIMS = ("org", "role", "network", "system")
DEFAULT_SCOPE = "system/*.cruds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`issuer` has no options: its settings come from the environment."""


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM. Raises `Misconfigured` outside the embedded stack."""
    configured = settings.read()
    if not configured.local_stack:
        raise Misconfigured(
            "The development issuer gives a token to every client, so it starts only in the embedded stack "
            "(onestory up). Elsewhere set ONESTORY_OIDC_ISSUER to a real issuer."
        )
    home = state.find_home()
    state.prepare_home(home)
    issuer = Issuer(configured.oidc_issuer, configured.oidc_audience, load_key(home / "issuer-key.pem"))
    uvicorn.run(create_app(issuer), host="127.0.0.1", port=configured.port, log_level="warning", access_log=False)
    return 0


@dataclass(frozen=True, slots=True)
class Issuer:
    """The issuer's URL, the audience of its tokens, and its signing key."""

    url: str
    audience: str
    key: ec.EllipticCurvePrivateKey

    def token(self, wanted: Mapping[str, str], now: int) -> str:
        """A signed token (RFC 7519) with the wanted claims. `now` and the lifetime are in seconds.

        Raises `ValueError` for a wrong lifetime.
        """
        lifetime = int(wanted.get("lifetime") or 3600)
        if not 0 < lifetime <= LONGEST_LIFETIME_S:
            raise ValueError(f"lifetime must be 1 to {LONGEST_LIFETIME_S} seconds")
        claims = {
            "iss": self.url,
            "aud": self.audience,
            "sub": wanted.get("sub") or wanted.get("org") or "anonymous",
            "iat": now,
            "exp": now + lifetime,
            "purpose": wanted.get("purpose") or "TREAT",
            "scope": wanted.get("scope") or DEFAULT_SCOPE,
            **{name: wanted[name] for name in OPTIONAL_CLAIMS if wanted.get(name)},
        }
        return jwt.encode(claims, self.key, ALGORITHM, headers={"kid": KEY_ID})

    def jwks(self) -> dict[str, Any]:
        """The public key as a JWK set."""
        public = json.loads(jwt.get_algorithm_by_name(ALGORITHM).to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": KEY_ID, "alg": ALGORITHM, "use": "sig"}]}


def create_app(issuer: Issuer) -> Starlette:
    """The routes of one issuer."""

    async def configuration(request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": issuer.url,
                "jwks_uri": f"{issuer.url}/jwks",
                "token_endpoint": f"{issuer.url}/token",
                "grant_types_supported": ["client_credentials"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
            }
        )

    async def jwks(request: Request) -> Response:
        return JSONResponse(issuer.jwks())

    async def token(request: Request) -> Response:
        wanted = dict(parse_qsl((await request.body()).decode(errors="replace")))
        try:
            signed = issuer.token(wanted, int(time.time()))
        except ValueError as error:
            return JSONResponse({"error": "invalid_request", "error_description": str(error)}, status_code=400)
        return JSONResponse({"access_token": signed, "token_type": "Bearer"}, headers={"Cache-Control": "no-store"})

    async def healthy(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", configuration),
            Route("/jwks", jwks),
            Route("/token", token, methods=["POST"]),
            Route("/health/live", healthy),
            Route("/health/ready", healthy),
        ]
    )


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The signing key of this stack, made at its first start. Only the owner of the file can read it."""
    if not path.exists():
        fresh = ec.generate_private_key(ec.SECP256R1())
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        state.write_private(path, fresh.private_bytes(encoding, form, serialization.NoEncryption()).decode())
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Misconfigured(f"{path} is no elliptic-curve key; delete it and start again.")
    return key
