"""The home directory of the embedded stack: secrets, disk space and addresses."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from onestory.__main__ import main
from onestory.local import state
from onestory.local.state import Stack
from onestory.record.parking import store as parking_store
from onestory.shared.errors import Misconfigured, Unavailable

STACK = Stack("/somewhere", "http://b", "k:1", "c:2", "postgresql://p:3/onestory", "http://i", {"serve": "http://b"})


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first = state.secret(tmp_path, "key-secret")

    again = state.secret(tmp_path, "key-secret")

    assert first == again
    assert len(first) >= 32
    assert stat.S_IMODE((tmp_path / "key-secret").stat().st_mode) == 0o600


def test_two_stacks_have_different_secrets(tmp_path: Path) -> None:
    for name in ("one", "two"):
        state.prepare_home(tmp_path / name)

    assert state.secret(tmp_path / "one", "key-secret") != state.secret(tmp_path / "two", "key-secret")


def test_addresses_come_back_as_they_were_written(tmp_path: Path) -> None:
    state.write_stack(tmp_path, STACK)

    assert state.require_stack(tmp_path) == STACK


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kafka": "k:1"}'])
def test_an_unreadable_address_file_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)

    assert state.read_stack(tmp_path) is None


def test_without_a_stack_the_caller_is_told_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="onestory up"):
        state.require_stack(tmp_path)


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    more_than_there_is = 10**18

    with pytest.raises(Misconfigured, match=r"The disk that holds .* is full: \d+ MB free") as raised:
        state.prepare_home(tmp_path / "home", least_free_bytes=more_than_there_is)

    assert "\n" not in str(raised.value)


def test_a_home_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Misconfigured, match="cannot be made"):
        state.prepare_home(tmp_path / "file" / "home")


def test_all_who_ask_at_once_for_a_secret_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        asked = list(pool.map(lambda _: state.secret(tmp_path, "key-secret"), range(64)))

    assert len(set(asked)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key-secret"]


def test_an_operators_command_does_not_read_the_stack_that_lies_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = state.Stack(str(tmp_path), "http://127.0.0.1:1", "127.0.0.1:2", "", "postgresql://127.0.0.1:3/x", "", {})
    (tmp_path / ".onestory").mkdir()
    state.write_stack(tmp_path / ".onestory", stack)
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "KAFKA", "POSTGRES"):
        monkeypatch.delenv(f"ONESTORY_{name}", raising=False)
    monkeypatch.setenv("ONESTORY_POSTGRES", "postgresql://postgres@127.0.0.1:9/elsewhere")
    opened: list[str] = []

    def open_connection(dsn: str) -> NoReturn:
        opened.append(dsn)
        raise Unavailable("not there")

    monkeypatch.setattr(parking_store, "open_connection", open_connection)
    for command in (["parked"], ["record", "moved"]):
        assert main(command) == 1
    assert opened == ["postgresql://postgres@127.0.0.1:9/elsewhere"] * 2


def test_status_prints_the_settings_of_the_stack_as_shell_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = state.Stack(str(tmp_path), "http://127.0.0.1:1", "127.0.0.1:2", "", "postgresql://127.0.0.1:3/x y", "", {})
    state.write_stack(tmp_path, stack)
    monkeypatch.setenv("ONESTORY_HOME", str(tmp_path))

    assert main(["status", "--env"]) == 0

    exports = dict(line.removeprefix("export ").split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert exports["ONESTORY_KAFKA"] == "127.0.0.1:2"
    assert exports["ONESTORY_POSTGRES"] == "'postgresql://127.0.0.1:3/x y'"
    assert len(exports["ONESTORY_KEY_SECRET"]) >= 32
