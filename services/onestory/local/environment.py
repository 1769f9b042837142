"""What each process of the embedded stack is told through its environment."""

from __future__ import annotations

import json
import os
from pathlib import Path

from onestory.local.addresses import LOOPBACK, port_of
from onestory.local.state import Stack, find_home, read_stack, secret
from onestory.sample.network import DEMOGRAPHIC_AUTHORITIES, NETWORKS
from onestory.shared import settings
from onestory.shared.settings import PREFIX, Settings


def of(name: str, home: Path, stack: Stack) -> dict[str, str]:
    """The environment of one process: the caller's own, with the stack's addresses; the caller's other settings win."""
    own_port = port_of(stack.health[name]) if name in stack.health else 0
    return {
        "ONESTORY_HOST": LOOPBACK,
        "ONESTORY_LOG_LEVEL": "info",
        "ONESTORY_BASE_URL": stack.base_url,
        "ONESTORY_OIDC_ISSUER": stack.issuer,
        "ONESTORY_OIDC_JWKS_URL": f"{stack.issuer}/jwks",
        "ONESTORY_KEY_SECRET": secret(home, "key-secret"),
        **_network(),
        **os.environ,
        "ONESTORY_HOME": str(home),
        "ONESTORY_KAFKA": stack.kafka,
        "ONESTORY_POSTGRES": stack.postgres,
        "ONESTORY_PORT": str(own_port),
        "ONESTORY_HEALTH_PORT": str(own_port),
        "ONESTORY_INSTANCE": name,
        "ONESTORY_LOCAL_STACK": "1",
        "PYTHONUNBUFFERED": "1",
    }


def command() -> Settings:
    """The settings of a command that does a process's work: the environment's; those of the embedded stack here where
    the environment names neither Kafka nor PostgreSQL.
    """
    home = find_home()
    stack = read_stack(home)
    if stack is None or any(PREFIX + name in os.environ for name in ("KAFKA", "POSTGRES")):
        return settings.read()
    return settings.read(of("command", home, stack))


def _network() -> dict[str, str]:
    """The practices of the synthetic care network, so that its records can be read at once."""
    return {
        "ONESTORY_NETWORKS": json.dumps(NETWORKS),
        "ONESTORY_DEMOGRAPHIC_AUTHORITIES": ",".join(DEMOGRAPHIC_AUTHORITIES),
    }
