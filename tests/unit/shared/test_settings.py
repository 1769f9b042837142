"""Settings come from the environment once, and say what is wrong with them."""

from __future__ import annotations

import pytest

from onestory.shared.errors import Misconfigured
from onestory.shared.settings import PREFIX, Settings, read, require


def test_every_setting_is_read_in_its_own_type() -> None:
    settings = read(
        {
            "ONESTORY_PORT": "9000",
            "ONESTORY_PUBLISH_TIMEOUT_S": "2.5",
            "ONESTORY_LOCAL_STACK": "true",
            "ONESTORY_DEMOGRAPHIC_AUTHORITIES": "X26, Y99",
            "ONESTORY_NETWORKS": '{"A81001": "north"}',
        }
    )

    assert (settings.port, settings.publish_timeout_s, settings.local_stack) == (9000, 2.5, True)
    assert settings.demographic_authorities == ("X26", "Y99")
    assert settings.networks == {"A81001": "north"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "many"), ("LOCAL_STACK", "perhaps"), ("NETWORKS", "[1]"), ("NETWORKS", "{"), ("PUBLISH_TIMEOUT_S", "")],
)
def test_a_value_that_cannot_be_read_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"{PREFIX}{name}"):
        read({PREFIX + name: value})


def test_a_short_secret_is_refused_without_showing_it() -> None:
    with pytest.raises(Misconfigured, match="at least 32") as caught:
        read({"ONESTORY_KEY_SECRET": "hunter2"})

    assert "hunter2" not in str(caught.value)


def test_a_setting_that_a_process_needs_is_asked_for_by_name() -> None:
    with pytest.raises(Misconfigured, match="ONESTORY_OIDC_ISSUER"):
        require(Settings(), "oidc_issuer")
