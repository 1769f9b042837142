"""`onestory demo`: the embedded stack with a synthetic care network in it, a record, a referral, and what to try."""

from __future__ import annotations

import argparse
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

from onestory.client import publish
from onestory.local import demo_record, demo_referral, down, processes, state, up
from onestory.local.state import Stack
from onestory.local.token import fetch_token
from onestory.sample import main as sample_main
from onestory.shared.errors import Unavailable

SEED = 1
CLINICIAN = "R8000"
TOKEN_LIFETIME_S = 24 * 3600
WATCH_EVERY_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many people, and whether to stay."""
    parser.add_argument("--people", type=int, default=20, metavar="N", help="how many people to invent (default: 20)")
    parser.add_argument("--detach", action="store_true", help="return when it is ready; `onestory down` stops it")


def run(arguments: argparse.Namespace) -> int:
    """Run until Ctrl-C or SIGTERM, then stop everything; with `--detach` return when everything is ready."""
    processes.once()
    demo = Demo(state.find_home(), arguments.people, Console())
    try:
        stack = demo.start()
        demo.fill()
        demo.show(stack)
        if not arguments.detach:
            demo.watch()
    except BaseException:
        demo.stop()
        raise
    return 0


@dataclass(frozen=True, slots=True)
class Demo:
    """One demonstration in one stack's directory."""

    home: Path
    people: int
    console: Console

    def start(self) -> Stack:
        """The whole stack, ready."""
        os.environ["ONESTORY_HOME"] = str(self.home)  # what we call in this process finds the same stack
        with self.console.status("Starting Kafka, PostgreSQL and OneStory (the first time downloads Kafka) ..."):
            stack, started = up.bring_up(self.home)
        self.console.print(f"[green]✓[/] {'Started ' + ', '.join(started) if started else 'Everything already runs'}")
        return stack

    def fill(self) -> None:
        """Invent the care network and publish it, unless this directory's record has it already."""
        done, published = self.home / "sample-published", f"{self.people} with teams"
        if done.exists() and done.read_text() == published:
            self.console.print(f"[green]✓[/] {self.people} people are in the record from last time")
            return
        _command(sample_main, "--people", str(self.people), "--seed", str(SEED), "--out", str(self._sample))
        refusals = self.home / "publish-refusals.ndjson"
        # The pattern leaves out the manifest, which is about the sample and not of it.
        code = _command(publish, str(self._sample / "*.ndjson"), "--report", str(refusals))
        if code == 130:
            raise KeyboardInterrupt
        done.write_text(published)

    def show(self, stack: Stack) -> None:
        """One person's record, how fast a new fact got there, a referral from start to end, and what to try."""
        manifest = json.loads((self._sample / "manifest.json").read_text())
        person = _most_told(manifest["people"])
        token = fetch_token(person["practice"], role=CLINICIAN, lifetime=TOKEN_LIFETIME_S, issuer=stack.issuer)
        names = {each["ods"]: each["name"] for each in manifest["sources"]}
        reader = demo_record.DemoReader(stack, token, names)
        delay = reader.tell(person["nhs_number"])
        reader.print_record(self.console, person)
        self.console.print(
            f"\nA new observation was [bold]acknowledged after {delay.acknowledged_ms:.0f} ms[/] "
            f"and [bold]visible to every reader after {delay.visible_ms:.0f} ms[/].\n"
        )
        shown = demo_referral.DemoReferral(stack, person["practice"], names).show(self.console, person["nhs_number"])
        lines = _to_try(stack, token, person["nhs_number"])
        lines += ["", *demo_referral.to_try(stack.base_url, person["practice"], person["nhs_number"], shown)]
        for line in lines:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def watch(self) -> None:
        """Stay until interrupted. Raises `Unavailable` when a process ends by itself."""
        self.console.print("\n[bold]Running. Ctrl-C stops everything.[/]")
        while not threading.Event().wait(WATCH_EVERY_S):
            for name in up.ALL:
                if processes.find(self.home, name) is None:
                    raise Unavailable(f"{name} ended: {processes.last_line(self.home, name)}")

    def stop(self) -> None:
        """Leave nothing running."""
        self.console.print("\nStopping ...")
        if self.home.exists():
            with state.only_one(self.home):
                down.stop_all(self.home, down.ALL)
        self.console.print("Stopped. The data stays; `make demo` goes on with it.")

    @property
    def _sample(self) -> Path:
        return self.home / "sample"


def _command(command: ModuleType, *arguments: str) -> int:
    """Call one of our commands in this process, as the command line would."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return int(command.run(parser.parse_args(arguments)))


def _most_told(people: list[dict[str, Any]]) -> dict[str, Any]:
    """The person of whom most sources know, with most of what real data does to you.

    Nobody says where a protected person is registered, so no network reads that record.
    """
    told = [person for person in people if "protected-address" not in person["troubles"]]
    return max(
        told or people, key=lambda person: (len(person["known_to"]), len(person["troubles"]), person["nhs_number"])
    )


def _to_try(stack: Stack, token: str, nhs_number: str) -> list[str]:
    fhir = f"{stack.base_url}/fhir"
    asked = [
        f"{fhir}/Patient/{nhs_number}/\\$summary",
        f"{fhir}/Patient/{nhs_number}/\\$merged",
        f"{fhir}/Patient/{nhs_number}/\\$everything",
        f"{fhir}/Patient/{nhs_number}/\\$freshness",
        f"{fhir}/Patient/{nhs_number}",
        f"{fhir}/Condition?patient={nhs_number}",
        f"{fhir}/Patient?identifier=https://fhir.nhs.uk/Id/nhs-number%7C{nhs_number}",
    ]
    return [
        "To try (the token is good for a day):",
        "",
        f"export TOKEN={token}",
        "",
        *[f'curl -s -H "Authorization: Bearer $TOKEN" "{url}"' for url in asked],
        f'curl -s -H "Authorization: Bearer $TOKEN" -H "Accept: text/html" "{fhir}/Patient/{nhs_number}/\\$summary"'
        " > summary.html  # a page to open in a browser",
        f'curl -s "{fhir}/metadata"',
        "",
        f"{stack.base_url}/openapi.json    the HTTP API",
    ]
