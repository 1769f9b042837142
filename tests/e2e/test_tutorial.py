"""`docs/tutorial/first-hour.md` runs from top to bottom and shows its real output; the commands of README.md work."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial needs curl")
ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-hour.md"
README = ROOT / "README.md"
PATIENCE_S = 120.0

_BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
_PLACEHOLDER = re.compile(r"<(?:id|time|port|text)>")
_DONE = "done with a block of the tutorial"


class Step(NamedTuple):
    """A block of commands, the output that the page shows for it (None when it shows none), and its line."""

    commands: str
    output: str | None
    line: int


def steps(page: str) -> list[Step]:
    """Return the `sh` blocks in order, each with the `text` block after it. `console` blocks are earlier steps."""
    found: list[Step] = []
    for block in _BLOCK.finditer(page):
        match block["kind"]:
            case "sh":
                found.append(Step(block["body"], None, page.count("\n", 0, block.start()) + 2))
            case "text":
                found[-1] = found[-1]._replace(output=block["body"])
            case "console":
                pass
            case other:
                raise AssertionError(f"A block is sh, text or console, not {other!r}.")
    return found


def pattern(shown: str) -> str:
    """Return the pattern of a shown text. Runs of spaces are equal, `...` is any lines, `<id>` or `<time>` any text."""
    parts = []
    for line in shown.splitlines():
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            literals = [re.escape(each) for each in _PLACEHOLDER.split(" ".join(line.split()))]
            parts.append(r".+?".join(literals) + r"\n")
    return "".join(parts)


def is_shown(shown: str, output: str) -> bool:
    """Return whether the command's output matches the text on the page."""
    lines = (" ".join(line.split()) for line in output.splitlines())
    return re.fullmatch(pattern(shown), "".join(f"{line}\n" for line in lines)) is not None


class Shell:
    """One bash in a directory. It ends at the first command that fails, as a careful reader would."""

    def __init__(self, directory: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ONESTORY_")}
        self._bash = subprocess.Popen(
            ["bash", "-eu"],
            cwd=directory,
            env={**kept, "COLUMNS": "110"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def run(self, commands: str) -> str:
        """Return the output of these commands, with standard error. Fails when one of them fails or hangs."""
        assert self._bash.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._bash.stdin.write(f"{commands}\necho '{_DONE}'\n")
            self._bash.stdin.flush()
        output = ""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE_S)
            except queue.Empty:
                raise AssertionError(f"This hangs:\n{commands}\nSo far it printed:\n{output}") from None
            if line is None:
                raise AssertionError(f"This fails:\n{commands}\nIt printed:\n{output}")
            output += line
            if line.endswith(f"{_DONE}\n"):
                return output.removesuffix(f"{_DONE}\n")

    def close(self) -> None:
        """End bash and its background processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._reader.join()
        with contextlib.suppress(BrokenPipeError):
            self._bash.__exit__(None, None, None)

    def _read(self) -> None:
        assert self._bash.stdout is not None
        for line in self._bash.stdout:
            self._lines.put(line)
        self._lines.put(None)


def follow(shell: Shell, some: Sequence[Step]) -> None:
    """Run these steps. Fails at the first one that fails or prints something else than the page shows."""
    for step in some:
        output = shell.run(step.commands)
        assert is_shown(step.output or "", output), (
            f"line {step.line}:\n{step.commands}\nThe page shows:\n{step.output or 'nothing'}\n"
            f"It printed:\n{output or 'nothing'}"
        )


def follow_readme(shell: Shell) -> None:
    """Publish, read and refer as the README says. Instead of its demo, the stack of this shell gets teams."""
    demo, publish_and_read, refer = (step.commands for step in steps(README.read_text()))
    assert demo == "make demo\n"
    shell.run("onestory sample --people 1 --out sample; onestory publish 'sample/*.ndjson'; rm -r sample")

    assert '"text": "Asthma"' in shell.run(publish_and_read)
    assert '"status":"accepted"' in shell.run(refer)


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory with a virtual environment, as after `make setup`. PostgreSQL's account can reach it too."""
    directory = Path(tempfile.mkdtemp(prefix="onestory-tutorial-"))
    directory.chmod(0o755)
    (directory / ".venv").symlink_to(sys.prefix)
    try:
        yield directory
    finally:
        home = {**os.environ, "ONESTORY_HOME": str(directory / ".onestory" / "tutorial")}
        subprocess.run([sys.executable, "-m", "onestory", "down"], env=home, capture_output=True, check=False)
        shutil.rmtree(directory, ignore_errors=True)


def test_the_tutorial_and_the_readme_do_what_they_show(place: Path) -> None:
    *lessons, stop = steps(TUTORIAL.read_text())
    assert len(lessons) > 25, "blocks of the tutorial are not found"

    with contextlib.closing(Shell(place)) as shell:
        follow(shell, lessons)
        follow_readme(shell)
        follow(shell, [stop])

    assert sorted(path.name for path in place.iterdir()) == [".onestory", ".venv"], "the tutorial leaves files"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("```sh\necho one\n```\n\n```text\ntwo\n```\n", "The page shows"),
        ("```sh\necho one\n```\n", "The page shows"),
        ("```sh\ntrue\n```\n\n```text\n...\nnever\n```\n", "The page shows"),
        ("```sh\nfalse\necho one\n```\n\n```text\none\n```\n", "This fails"),
        ("```sh\nA=$(no-such-command)\n```\n", "This fails"),
        ("```sh\necho $NEVER_SET\n```\n", "This fails"),
    ],
)
def test_a_wrong_line_of_a_page_is_found(wrong: str, why: str, tmp_path: Path) -> None:
    with contextlib.closing(Shell(tmp_path)) as shell, pytest.raises(AssertionError, match=why):
        follow(shell, steps(wrong))


def test_placeholders_and_left_out_lines_match_what_differs_each_time(tmp_path: Path) -> None:
    page = "```sh\necho a   b; echo c; echo d $$\n```\n\n```text\na b\n...\nd <id>\n```\n"

    with contextlib.closing(Shell(tmp_path)) as shell:
        follow(shell, steps(page))
