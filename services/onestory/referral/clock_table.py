"""The clocks, loaded: `schemas/referral/clocks.yaml`, and over it what a deployment set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from onestory.referral.domain.clocks import Clocks, clocks
from onestory.shared.contracts.files import folder
from onestory.shared.errors import Misconfigured
from onestory.shared.events import Party
from onestory.shared.settings import PREFIX


def load(setting: str = "") -> Clocks:
    """The clocks, where `setting` is ONESTORY_REFERRAL_CLOCKS. Raises `Misconfigured`."""
    variable = f"{PREFIX}REFERRAL_CLOCKS"
    table = yaml.safe_load((folder() / "referral" / "clocks.yaml").read_text())
    try:
        return clocks(_over(table, json.loads(setting or "{}")))
    except json.JSONDecodeError as error:
        raise Misconfigured(f"{variable} is no JSON.") from error
    except ValueError as error:
        raise Misconfigured(f"{variable}: {error}") from error


def escalation_contact(setting: str) -> Party | None:
    """Whom ONESTORY_REFERRAL_ESCALATION names: `ODS`, or `ODS/team`; None: nobody. Raises `Misconfigured`."""
    organisation, _, team = setting.partition("/")
    if not setting:
        return None
    if not organisation.isalnum() or "/" in team:
        raise Misconfigured(f"{PREFIX}REFERRAL_ESCALATION names an organisation or a team: ODS, or ODS/team.")
    return Party(organisation.upper(), team)


def _over(table: Any, changes: Any) -> Any:
    """The table with these changes: what they do not name stays as it is."""
    if not isinstance(table, Mapping) or not isinstance(changes, Mapping):
        return changes
    return {**table, **{name: _over(table.get(name), change) for name, change in changes.items()}}
