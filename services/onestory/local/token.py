"""`onestory token`: a demo token from the embedded stack's issuer."""

from __future__ import annotations

import argparse

import httpx

from onestory.local import state
from onestory.sample.network import NETWORKS
from onestory.shared.errors import Unavailable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Who the token speaks for."""
    parser.add_argument("--org", required=True, help="ODS code of the organisation")
    parser.add_argument("--role", required=True, help="role code, for example R8000 (clinical practitioner)")
    parser.add_argument("--network", help="care network; without it, that of the organisation in the synthetic network")
    parser.add_argument("--system", help="the client system")
    parser.add_argument("--sub", help="the user; without it, the organisation itself")
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
    """A signed token for this organisation, from `issuer`, else from the embedded stack's.

    Raises `Unavailable` when that does not answer or refuses.
    """
    wanted = {
        "grant_type": "client_credentials",
        "org": org,
        "role": role,
        "network": network_of(org) if network is None else network,
        "system": system or "",
        "sub": sub or "",
        "purpose": purpose,
        "lifetime": str(lifetime),
    }
    issuer = issuer or state.the_stack(state.find_home()).issuer
    try:
        answer = httpx.post(f"{issuer}/token", data=wanted, timeout=5, trust_env=False)
    except httpx.HTTPError as error:
        raise Unavailable(f"The development issuer at {issuer} does not answer. Start it with: onestory up") from error
    if answer.status_code != 200:
        raise Unavailable(
            f"The development issuer refused: {answer.json().get('error_description', 'no reason given')}."
        )
    return str(answer.json()["access_token"])


def network_of(org: str) -> str:
    """The network of an organisation in the synthetic care network; empty when it is in none."""
    return NETWORKS.get(org, "")
