"""The README's sequence, word for word, against real processes, each of which is killed once on the way."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from newcomer import Newcomer, Run, wait_for

MARK = "<!-- end-to-end: tests/e2e/test_readme.py runs exactly these lines -->"


def readme_commands(repository: Path) -> list[str]:
    """The lines of the README's marked block."""
    text = (repository / "README.md").read_text()
    block = re.search(re.escape(MARK) + r"\n```sh\n(.*?)```", text, re.DOTALL)
    assert block, "the README has no block for the end-to-end test"
    return [line for line in block.group(1).splitlines() if line.strip()]


def tutorial_block(repository: Path, heading: str) -> str:
    """The commands of a section of the tutorial."""
    text = (repository / "docs" / "tutorial" / "first-slice.md").read_text()
    block = re.search(rf"^## {re.escape(heading)}$.*?^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert block, f"the tutorial has no commands under {heading!r}"
    return block.group(1)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory):
    person = Newcomer(tmp_path_factory.mktemp("home"), Path(__file__).parents[2])
    yield person
    # A failing test must not leave a slice behind.
    person.run("mls framework destroy-all --yes", expect=None)
    for pid in person.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def transcript(newcomer: Newcomer, request: pytest.FixtureRequest) -> dict[str, Run]:
    """Runs the README up to and without `remove-app`; command line -> what it did."""
    done: dict[str, Run] = {}
    for command in readme_commands(Path(__file__).parents[2]):
        if "remove-app" in command:
            break
        if command.startswith("kubectl") and not shutil.which("kubectl"):
            continue  # test_kubectl_sees_it_all is skipped with the reason
        done[command] = newcomer.run(command)
    return done


def of(transcript: dict[str, Run], words: str) -> Run:
    """The run of the README line that contains the words."""
    return next(run for command, run in transcript.items() if words in command)


def status(newcomer: Newcomer) -> dict[str, Any]:
    return newcomer.run("mls framework status -o json").json()


def all_ready(newcomer: Newcomer) -> bool:
    return {agent["ready"] for agent in status(newcomer)["state"]["agents"]} == {True}


def command_line(pid: int) -> str:
    """Arguments of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def component_pids(newcomer: Newcomer) -> set[int]:
    """The programs of the test application, without the shims that keep them."""
    return {
        pid
        for pid in newcomer.processes()
        if "-m mlsysops_testapp" in command_line(pid) and "shim" not in command_line(pid)
    }


def app_running(newcomer: Newcomer, app: str = "test-application") -> bool:
    found = newcomer.run(f"mls apps get-app-status {app} -o json").json()
    return found["phase"] == "Running" and all(component["ready"] for component in found["componentStatuses"])


def test_deploy_all_makes_every_agent_ready(newcomer: Newcomer, transcript: dict[str, Run]) -> None:
    wait_for("all agents ready", lambda: all_ready(newcomer), timeout=60)
    agents = {(agent["tier"], agent["name"]) for agent in status(newcomer)["state"]["agents"]}
    assert agents == {("continuum", "continuum"), ("cluster", "cluster1"), ("node", "worker1"), ("node", "worker2")}


def test_the_application_runs_and_its_components_talk(newcomer: Newcomer, transcript: dict[str, Run]) -> None:
    wait_for("application running", lambda: app_running(newcomer), timeout=30)

    def values() -> list[float | None] | None:
        found = newcomer.run("mls apps get-app-performance test-application -o json").json()
        current = [row["value"] for row in found["items"]]
        return current if current and all(value is not None and value > 0 for value in current) else None

    wait_for("metrics of both components to arrive", values, timeout=60)


def test_tables_say_what_a_person_wants_to_know(transcript: dict[str, Run]) -> None:
    assert "test-application" in of(transcript, "list-all").out
    assert "server-app" in of(transcript, "get-app-status").out
    assert "worker" in of(transcript, "get-app-details").out
    assert "test_received_success_counter" in of(transcript, "get-app-performance").out
    assert "clusterPlacement" in of(transcript, "explain").out


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl on PATH")
def test_kubectl_sees_it_all(transcript: dict[str, Run]) -> None:
    out = of(transcript, "kubectl").out
    assert "mlsysopsapp.mlsysops.eu/test-application" in out
    assert "mlsysopsnode.mlsysops.eu/worker1" in out
    assert "deployment.apps/test-application-server-app" in out
    assert "Running" in out


def test_the_tutorial_asks_for_what_cannot_be_had_beside_the_test_application(
    newcomer: Newcomer, transcript: dict[str, Run]
) -> None:
    block = tutorial_block(Path(__file__).parents[2], "5. Ask for what cannot be had")
    deploy, _, rest = block.partition("mls apps get-app-status")
    newcomer.run(deploy)

    def refused() -> bool:
        return "removed by memory" in newcomer.run("mls apps get-app-status too-big").out

    wait_for("the agents to say why", refused, timeout=30)
    run = newcomer.run(f"mls apps get-app-status{rest}")
    assert re.search(r"^Phase: +Pending$", run.out, re.MULTILINE)
    assert "removed by memory:" in run.out, "explain says nothing"
    assert "application/too-big removed" in run.out


def test_a_second_deploy_all_changes_nothing(newcomer: Newcomer, transcript: dict[str, Run]) -> None:
    before = {p["name"]: p["pid"] for p in status(newcomer)["processes"]}
    again = newcomer.run("mls framework deploy-all --inventory inventories/local.yml")
    assert "nothing changed" in again.out
    assert {p["name"]: p["pid"] for p in status(newcomer)["processes"]} == before
    assert app_running(newcomer)


def test_every_process_may_be_killed_and_nothing_is_lost(newcomer: Newcomer, transcript: dict[str, Run]) -> None:
    wait_for("application running", lambda: app_running(newcomer), timeout=30)
    identity = newcomer.run("mls apps get-app-details test-application -o json").json()["uid"]
    processes = {p["name"]: p["pid"] for p in status(newcomer)["processes"]}
    assert len(processes) == 9, processes
    for name in processes:
        # Asked anew each time: an earlier victim may have taken its dependants with it.
        pid = next(p["pid"] for p in status(newcomer)["processes"] if p["name"] == name)
        os.kill(pid, signal.SIGKILL)

        def back(name: str = name, pid: int = pid) -> bool:
            now = {p["name"]: p for p in status(newcomer)["processes"]}
            return now[name]["state"] == "running" and now[name]["pid"] != pid

        wait_for(f"{name} to come back", back, timeout=60)
    wait_for("the application to run again", lambda: app_running(newcomer), timeout=90)
    wait_for("all agents ready", lambda: all_ready(newcomer), timeout=90)
    assert newcomer.run("mls apps get-app-details test-application -o json").json()["uid"] == identity


@pytest.mark.parametrize("program", ["supervisor.supervisord", "keeper"])
def test_what_keeps_the_processes_may_be_killed_too(
    newcomer: Newcomer, transcript: dict[str, Run], program: str
) -> None:
    pods = component_pids(newcomer)
    victims = [pid for pid in newcomer.processes() if program in command_line(pid)]
    assert len(victims) == 1
    os.kill(victims[0], signal.SIGKILL)

    def back() -> bool:
        now = [pid for pid in newcomer.processes() if program in command_line(pid)]
        return len(now) == 1 and now != victims and status(newcomer)["well"]

    wait_for(f"{program} to come back", back, timeout=60)
    wait_for("all agents ready", lambda: all_ready(newcomer), timeout=90)
    assert component_pids(newcomer) == pods, "pods are not the supervisor's to restart"


def test_a_killed_component_is_restarted(newcomer: Newcomer, transcript: dict[str, Run]) -> None:
    wait_for("application running", lambda: app_running(newcomer), timeout=60)
    victims = [
        pid
        for pid in newcomer.processes()
        if b"mlsysops_testapp" in Path(f"/proc/{pid}/cmdline").read_bytes()
        and b"shim" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)

    def restarted() -> bool:
        found = newcomer.run("mls apps get-app-status test-application -o json").json()
        return (
            all(component["restarts"] >= 1 for component in found["componentStatuses"]) and found["phase"] == "Running"
        )

    wait_for("both components to run again", restarted, timeout=90)


def test_removing_and_destroying_leave_nothing(newcomer: Newcomer, transcript: dict[str, Run]) -> None:
    addresses = {p["address"] for p in status(newcomer)["processes"] if p.get("address")}
    remove, destroy = readme_commands(Path(__file__).parents[2])[-2:]
    newcomer.run(remove)
    assert newcomer.run("mls apps get-app-status test-application", expect=6).err.count("\n") == 1
    newcomer.run(destroy)
    assert newcomer.processes() == []
    for address in addresses:
        for port in (6443, 10250, 43170, 8000):
            with socket.socket() as probe:
                assert probe.connect_ex((address, port)) != 0, f"{address}:{port} still answers"
    left = [
        path
        for root in (newcomer.home / ".config", newcomer.home / ".local")
        for path in root.rglob("*")
        if path.is_file() and "ansible" not in path.parts
    ]
    assert left == []
    again = newcomer.run("mls framework destroy-all --yes", expect=None)
    assert again.code in (0, 6), again.err
