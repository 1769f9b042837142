"""`onestory token`: prints a demo token of the embedded stack's issuer."""

from __future__ import annotations

import argparse

import httpx

from onestory.local import state
from onestory.sample.network import DIRECTORY, NETWORKS
from onestory.shared.errors import Unavailable

DIRECTORY_AUTHORITY = DIRECTORY.ods
"""The ODS code of the organisation that publishes the directory of the embedded stack."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The claims of the token: organisation, role, network, system, user and purpose."""
    parser.add_argument("--org", required=True, help="ODS code of the organisation")
    parser.add_argument("--role", required=True, help="role code, for example R8000 (clinical practitioner)")
    parser.add_argument(
        "--network", help="care network (default: the network of the organisation in the synthetic care network)"
    )
    parser.add_argument("--system", help="the client system")
    parser.add_argument("--sub", help="the user (default: the organisation)")
    parser.add_argument("--purpose", default="TREAT", help="purpose of use (default: %(default)s)")
    parser.add_argument("--lifetime", type=int, default=3600, help="seconds (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Print a token and nothing else."""
    print(
        fetch_token(
            arguments.org,
            role=arguments.role,
            network=arguments.network,
            system=arguments.system,
            sub=arguments.sub,
            purpose=arguments.purpose,
            lifetime=arguments.lifetime,
        )
    )
    return 0


def fetch_token(
    org: str,
    *,
    role: str = "",
    network: str | None = None,
    system: str | None = None,
    sub: str | None = None,
    purpose: str = "TREAT",
    lifetime: int = 3600,
    issuer: str | None = None,
) -> str:
    """A signed token (JWT) for this organisation, from `issuer` or else from the embedded stack's issuer.

    `lifetime` is in seconds. Raises `Unavailable` when the issuer does not answer, or refuses.
    """
    claims = {
        "grant_type": "client_credentials",
        "org": org,
        "role": role,
        "network": organisation_network(org) if network is None else network,
        "system": system or "",
        "sub": sub or "",
        "purpose": purpose,
        "lifetime": str(lifetime),
    }
    issuer = issuer or state.require_stack(state.find_home()).issuer
    try:
        answer = httpx.post(f"{issuer}/token", data=claims, timeout=5, trust_env=False)
    except httpx.HTTPError as error:
        raise Unavailable(f"The development issuer at {issuer} does not answer. Start it with: onestory up") from error
    if answer.status_code != 200:
        raise Unavailable(
            f"The development issuer refused: {answer.json().get('error_description', 'no reason given')}."
        )
    return str(answer.json()["access_token"])


def organisation_network(org: str) -> str:
    """The network of a practice in the synthetic care network; empty for any other organisation."""
    return NETWORKS.get(org, "")
