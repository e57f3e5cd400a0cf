"""Every kind of bad input against a slice that runs: a clear line a fault, the documented code, and nothing half done."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from newcomer import Newcomer, Run, wait_for

SLICE = "bad-input"
REPOSITORY = Path(__file__).parents[2]
INVALID, UNREACHABLE, REFUSED, NOT_FOUND, CONFLICT, TIMED_OUT = 3, 4, 5, 6, 7, 8

APP = """\
MLSysOpsApp:
  name: kitchen
  components:
    - metadata: {name: bread}
      node_placement:
        continuum_layer: [edge]
      qos_metrics:
        - application_metric_id: loaves
          target: 3
          relation: greater_or_equal
      containers:
        - image: registry.example/bread:1
    - metadata: {name: butter}
      containers:
        - image: registry.example/butter:1
"""

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    person = Newcomer(tmp_path_factory.mktemp("home"), REPOSITORY)
    inventory = (REPOSITORY / "inventories" / "local.yml").read_text()
    changed = re.sub(r"mls_slice: \S+", f"mls_slice: {SLICE}", inventory)
    assert changed != inventory
    (person.work / "slice.yml").write_text(changed)
    try:
        kill_a_deployment(person)
        person.run("mls framework deploy-all --inventory slice.yml")  # does what is left
        yield person
    finally:
        # A failing test must not leave a slice behind.
        person.run(f"mls framework destroy-all --slice {SLICE} --yes", expect=None)
        for pid in person.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def kill_a_deployment(person: Newcomer) -> None:
    """Begin to deploy as under cron, where SIGHUP is ignored, and kill the command in the middle; returns when nothing of it is left.

    Raises:
        AssertionError: Its run goes on, or stays asleep.
    """
    command = subprocess.Popen(
        ["nohup", "mls", "framework", "deploy-all", "-q", "--inventory", "slice.yml"],
        cwd=person.work, env=person.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def control_planes_are_being_made() -> bool:
        assert command.poll() is None
        logs = (slices(person) / SLICE / "logs" / "runs").glob("site-*.log")
        return any("TASK [controlplane_embedded" in log.read_text() for log in logs)

    def of_the_run() -> list[int]:
        found = []
        for pid in person.processes():
            with contextlib.suppress(OSError):
                if b"ansible" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    try:
        wait_for("control planes are being made", control_planes_are_being_made, timeout=180)
        assert of_the_run()
    finally:
        command.kill()
        command.wait()
    wait_for("nothing of the run is left", lambda: not of_the_run(), timeout=60)


def processes(newcomer: Newcomer) -> dict[str, int]:
    """Pid of every process of the slice."""
    found = newcomer.run("mls framework status -o json", expect=None).json()
    return {item["name"]: item["pid"] for item in found["processes"]}


def applications(newcomer: Newcomer) -> list[str]:
    """Names of the applications of the slice."""
    return newcomer.run("mls apps list-all -o name").out.split()


def refused(run: Run, code: int, *lines: str) -> None:
    """Check that a command ended with a code and told a fault a line: patterns, in order, and nothing else.

    Raises:
        AssertionError: It did something else.
    """
    shown = f"exit code {run.code}\n{run.out}\n{run.err}"
    assert run.code == code, shown
    assert run.out == "", shown
    told = run.err.splitlines()
    assert len(told) == len(lines), shown
    for line, pattern in zip(told, lines, strict=True):
        assert line.startswith("error: "), shown
        assert re.search(pattern, line), f"{pattern!r} is not in:\n{shown}"
    assert "Traceback" not in run.err, shown


def description(newcomer: Newcomer, text: str | bytes, name: str = "app.yaml") -> str:
    """Write a description; return its name in the working directory."""
    (newcomer.work / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def swap(old: str, new: str) -> str:
    """The good description with one thing changed."""
    assert old in APP
    return APP.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (swap("node_placement", "node_placment"), r"app\.yaml:5:7: .*node_placment.*did you mean 'node_placement'"),
        (swap("target: 3", "target: many"), r"app\.yaml:9:19: components\[0\]\.qos_metrics\[0\]\.target: .*'many'"),
        (swap("greater_or_equal", "greatest"), r"app\.yaml:10:21: .*'greatest' is not one of .*did you mean"),
        (swap("name: butter", "name: bread"), r"app\.yaml:13:24: components\[1\].*'bread' is there twice"),
        (swap("[edge]", "[edge"), r"app\.yaml:\d+:\d+: "),
        ("MLSysOpsCluster: {name: c, cluster_id: c, nodes: [n]}\n", r"app\.yaml.*not an application"),
        (APP + "    - &x {metadata: *y}\n", r"app\.yaml:16:\d+: .*y"),
        ("", r"app\.yaml:1:1: the file is empty"),
        ("# nothing yet\n", r"app\.yaml:1:1: .*empty"),
        (BOMB, r"app\.yaml:\d+:\d+: .*more than \d+ values"),
        (APP + "#" * (10 * 1024 * 1024), r"app\.yaml: larger than 4 MiB .*right file"),
        (b"MLSysOpsApp:\n  name: caf\xe9\n", r"app\.yaml:2:12: .*not UTF-8.*0xe9.*save it as UTF-8"),
        (b"\x00\x01\x02\x7fELF", r"app\.yaml:\d+:\d+: "),
    ],
    ids=[
        "unknown key", "wrong type", "unknown enum value", "duplicate component", "broken YAML", "another kind",
        "unknown alias", "empty", "comment only", "bomb", "10 MB", "not UTF-8", "binary",
    ],
)  # fmt: skip
def test_a_description_that_is_wrong(newcomer: Newcomer, text: str | bytes, pattern: str) -> None:
    path = description(newcomer, text)
    run = newcomer.run(f"mls apps deploy-app --path {path}", expect=None)
    refused(run, INVALID, pattern)
    assert run.seconds < 10, "a bad file must not take long"
    assert applications(newcomer) == []


def test_all_faults_of_a_description_come_at_once(newcomer: Newcomer) -> None:
    text = swap("target: 3", "target: many").replace("greater_or_equal", "greatest").replace("continuum_layer", "layer")
    run = newcomer.run(f"mls apps deploy-app --path {description(newcomer, text)}", expect=None)
    refused(run, INVALID, r"app\.yaml:6:", r"app\.yaml:9:", r"app\.yaml:10:", "3 faults found")
    run = newcomer.run("mls apps deploy-app --path - < app.yaml", expect=None)
    refused(run, INVALID, r"<stdin>:6:", r"<stdin>:9:", r"<stdin>:10:", "3 faults found")
    assert applications(newcomer) == []


def test_a_file_that_is_not_there(newcomer: Newcomer) -> None:
    refused(
        newcomer.run("mls apps deploy-app --path nowhere.yaml", expect=None),
        INVALID,
        r"nowhere\.yaml: no such file or directory \(check --path\)",
    )
    refused(
        newcomer.run("mls framework deploy-all --inventory nowhere.yml", expect=None),
        INVALID,
        r"nowhere\.yml: no such inventory \(name one with --inventory\)",
    )


@pytest.mark.parametrize(
    ("inventory", "pattern"),
    [
        (
            """
            management_cluster: {hosts: {m1: , m2: }}
            cluster1: {children: {master_nodes: {hosts: {s1: }}, worker_nodes: {hosts: {w1: }}}}
            """,
            r"wrong\.yml:5:\d+: m2: 2 management hosts: m1, m2 \(keep m1",
        ),
        (
            """
            management_cluster: {hosts: {m1: }}
            cluster1: {children: {worker_nodes: {hosts: {w1: }}}}
            """,
            r"wrong\.yml:6:\d+: w1: cluster cluster1 has no server .*master_nodes",
        ),
        (
            """
            management_cluster: {hosts: {m1: {pod_cidr: 10.42.0.0/16, service_cidr: 10.43.0.0/16}}}
            cluster1:
              vars: {pod_cidr: 10.42.128.0/17, service_cidr: 10.44.0.0/16}
              children: {master_nodes: {hosts: {s1: }}, worker_nodes: {hosts: {w1: }}}
            """,
            r"wrong\.yml:\d+:\d+: .*10\.42\.128\.0/17 of cluster cluster1 overlaps pod_cidr 10\.42\.0\.0/16.*own",
        ),
    ],
    ids=["two management hosts", "a cluster without a server", "overlapping CIDRs"],
)
def test_an_inventory_that_is_wrong(newcomer: Newcomer, inventory: str, pattern: str) -> None:
    head = "all:\n  vars: {ansible_connection: local, mls_engine: embedded, mls_slice: wrong}\n  children:\n"
    (newcomer.work / "wrong.yml").write_text(f"{head}\n{textwrap.indent(textwrap.dedent(inventory).strip(), '    ')}\n")
    before = processes(newcomer)
    refused(newcomer.run("mls framework deploy-all --inventory wrong.yml", expect=None), INVALID, pattern)
    assert processes(newcomer) == before
    assert sorted(p.name for p in slices(newcomer).iterdir() if p.is_dir()) == [SLICE]
    assert newcomer.run("mls context list -o name").out.split() == [f"context/{SLICE}"]


def slices(newcomer: Newcomer) -> Path:
    """The directory that has a directory a slice."""
    return newcomer.home / ".local" / "share" / "mlsysops" / "slices"


def test_a_port_that_is_taken(newcomer: Newcomer) -> None:
    with contextlib.ExitStack() as stack:
        block, holder = next(held for block in range(119, 15, -1) if (held := _hold(block, 8000)))
        stack.enter_context(holder)
        text = (newcomer.work / "slice.yml").read_text().replace(f"mls_slice: {SLICE}", "mls_slice: second")
        text = text.replace("mls_slice: second", f"mls_slice: second\n    mls_loopback_block: {block}")
        (newcomer.work / "second.yml").write_text(text)
        run = newcomer.run("mls framework deploy-all --quiet --inventory second.yml", expect=None)
        refused(
            run, CONFLICT, rf"management.*port 8000 of 127\.{block}\.0\.10 .*taken by process {os.getpid()} .*stop it"
        )
        mine = str(slices(newcomer) / "second")
        assert [pid for pid in newcomer.processes() if mine in Path(f"/proc/{pid}/cmdline").read_text()] == []
        assert newcomer.run("mls context list -o name").out.split() == [f"context/{SLICE}"]
        assert newcomer.run("mls framework status -o json").json()["slice"] == SLICE, "the slice in use is another now"
    newcomer.run("mls framework destroy-all --slice second --yes")
    assert sorted(p.name for p in slices(newcomer).iterdir() if p.is_dir()) == [SLICE]


def _hold(block: int, port: int) -> tuple[int, socket.socket] | None:
    """Listen on a port of a loopback block; None where somebody does."""
    holder = socket.socket()
    try:
        holder.bind((f"127.{block}.0.10", port))
        holder.listen()
    except OSError:
        holder.close()
        return None
    return block, holder


def test_a_slice_that_is_up_already(newcomer: Newcomer) -> None:
    before = processes(newcomer)
    files = {path: path.stat().st_mtime_ns for path in slices(newcomer).glob("*/hosts/*/*.yaml")}
    assert "nothing changed" in newcomer.run("mls framework deploy-all --inventory slice.yml").out
    assert processes(newcomer) == before
    assert {path: path.stat().st_mtime_ns for path in slices(newcomer).glob("*/hosts/*/*.yaml")} == files


def test_an_application_that_nobody_knows(newcomer: Newcomer) -> None:
    for verb in ("get-app-status", "get-app-details", "get-app-performance", "explain", "remove-app", "edit"):
        run = newcomer.run(f"mls apps {verb} nobody", expect=None)
        refused(run, NOT_FOUND, r"application 'nobody' does not exist \(`mls apps list-all` lists")
    refused(newcomer.run("mls infra unregister-infra nobody", expect=None), NOT_FOUND, "'nobody'")
    refused(newcomer.run("mls --context nobody apps list-all", expect=None), NOT_FOUND, "'nobody' .*known.*" + SLICE)
    refused(newcomer.run("mls framework status --slice nobody", expect=None), NOT_FOUND, "nobody")


def context(newcomer: Newcomer) -> dict[str, Any]:
    """The context file of the slice, which only its owner may read."""
    path = newcomer.home / ".config" / "mlsysops" / "contexts" / f"{SLICE}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_token_that_is_wrong(newcomer: Newcomer) -> None:
    known = context(newcomer)
    other = newcomer.home / "other"
    (other / "contexts").mkdir(parents=True)
    (other / "current-context").write_text(SLICE)
    wrong = other / "contexts" / f"{SLICE}.json"
    wrong.touch(0o600)
    wrong.write_text(json.dumps({**known, "api": {**known["api"], "token": "x" * 43}}))
    path = description(newcomer, APP)
    for words in ("list-all", f"deploy-app --path {path}", "remove-app kitchen"):
        run = newcomer.run(f"MLS_CONFIG={other} mls apps {words}", expect=None)
        refused(run, REFUSED, rf"token.*context '{SLICE}'; deploy again to renew it")
        assert known["api"]["token"] not in run.err
    assert applications(newcomer) == []
    with httpx.Client(base_url=known["api"]["url"], trust_env=False) as client:
        for headers in ({}, {"Authorization": "Bearer none"}, {"Authorization": f"Basic {known['api']['token']}"}):
            answer = client.get("/v1/apps", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"


def test_a_northbound_api_that_is_down(newcomer: Newcomer) -> None:
    config = (slices(newcomer) / SLICE / "supervisor" / "supervisord.conf").read_text()
    server = re.search(r"\[unix_http_server\]\nfile\s*=\s*(\S+)", config)  # elsewhere where the path is too long
    assert server, config
    control = f"supervisorctl -s unix://{server[1]}"
    path = description(newcomer, APP)
    newcomer.run(f"{control} stop management-northbound")
    try:
        hint = r"http://\S+:8000 does not answer: connection refused \(is the slice up\? `mls framework status` tells\)"
        for words in ("list-all", f"deploy-app --path {path} --wait", "get-app-status kitchen"):
            refused(newcomer.run(f"mls apps {words}", expect=None), UNREACHABLE, hint)
        found = newcomer.run("mls framework status", expect=1)
        assert re.search(r"management-northbound +stopped", found.out)
        assert "does not answer" in found.out
    finally:
        newcomer.run(f"{control} start management-northbound")
    assert wait_for("the API to answer", lambda: newcomer.run("mls apps list-all", expect=None).code == 0, timeout=20)
    assert applications(newcomer) == []


def test_an_address_that_nobody_serves(newcomer: Newcomer) -> None:
    refused(newcomer.run("MLS_API_PORT=9 mls apps list-all", expect=None), UNREACHABLE, r":9 .*MLS_API_PORT")
    refused(newcomer.run("MLS_API_PORT=none mls apps list-all", expect=None), 2, "MLS_API_PORT='none' is not a port")
    refused(
        newcomer.run("mls apps deploy-app --uri http://127.0.0.1:9/app.yaml", expect=None),
        UNREACHABLE,
        r"http://127\.0\.0\.1:9/app\.yaml",
    )


def single(name: str, component: str, *, labels: str = "", cpu: float = 0.0) -> str:
    """A description of one component that needs a label of its node, or cores of it."""
    placement = f"\n      node_placement: {{labels: [{labels}]}}" if labels else ""
    needs = f", platform_requirements: {{cpu: {{requests: '{cpu:g}'}}}}" if cpu else ""
    return textwrap.dedent(f"""\
        MLSysOpsApp:
          name: {name}
          components:
            - metadata: {{name: {component}}}PLACEMENT
              containers: [{{image: "registry.example/{component}:1"{needs}}}]
        """).replace("PLACEMENT", placement)


def state(newcomer: Newcomer, app: str) -> dict[str, Any]:
    found: dict[str, Any] = newcomer.run(f"mls apps get-app-status {app} -o json").json()
    return found


def test_an_application_that_fits_nowhere_runs_when_a_node_gets_what_it_needs(newcomer: Newcomer) -> None:
    path = description(newcomer, single("bakery", "dough", labels="oven"))
    run = newcomer.run(f"mls apps deploy-app --quiet --path {path} --wait --timeout 2", expect=None)
    assert run.out == "application/bakery created\n"
    told = run.err.splitlines()
    assert run.code == TIMED_OUT
    assert len(told) == 1
    why = r"0/1 clusters fit: 1 removed by labels \(cluster1: 0/2 nodes fit: 2 removed by labels \(lacks oven\)"
    assert re.search(f"^error: application 'bakery' is not running after 2 s: .*{why}.*`mls apps explain", told[0])
    found = state(newcomer, "bakery")
    assert (found["phase"], found["components"]) == ("Pending", {"ready": 0, "total": 1})
    placed = next(item for item in found["conditions"] if item["type"] == "Placed")
    assert (placed["status"], placed["reason"]) == ("False", "NoFit")
    assert re.match(why, found["message"])
    explained = newcomer.run("mls apps explain bakery").out
    assert re.search(r"removed by labels:\n +cluster1: 0/2 nodes fit: 2 removed by labels \(lacks oven\)", explained)

    node = newcomer.run("mls infra list --type Node --name worker2 -o json").json()["items"][0]["description"]
    node["MLSysOpsNode"]["labels"] = [*node["MLSysOpsNode"].get("labels", []), "oven"]
    newcomer.run(f"mls infra register-infra --path {description(newcomer, json.dumps(node), 'node.yaml')}")
    wait_for("bakery to run", lambda: state(newcomer, "bakery")["phase"] == "Running", timeout=15)
    assert state(newcomer, "bakery")["componentStatuses"][0]["node"] == "worker2"
    assert re.search(r"removed by labels:\n +worker1: lacks oven", newcomer.run("mls apps explain bakery").out)
    newcomer.run("mls apps remove-app bakery")


def test_an_application_that_fits_nowhere_runs_when_another_one_leaves(newcomer: Newcomer) -> None:
    nodes = newcomer.run("mls infra list --type Node -o json").json()["items"]
    share = 0.7 * min(node["status"]["capacity"]["cpu"] for node in nodes)
    for guest in ("first", "second", "third"):
        path = description(newcomer, single(guest, f"{guest}-guest", cpu=share))
        newcomer.run(f"mls apps deploy-app --path {path}")
        if guest != "third":
            wait_for(f"{guest} to run", lambda app=guest: state(newcomer, app)["phase"] == "Running", timeout=15)
    found = wait_for(
        "the reason", lambda: (s := state(newcomer, "third"))["message"].startswith("0/1") and s, timeout=10
    )
    assert found["phase"] == "Pending"
    assert re.search(r"2 removed by cpu \(needs \S+ cores?, \S+ free", found["message"]), found["message"]
    newcomer.run("mls apps remove-app first")
    wait_for("third to run", lambda: state(newcomer, "third")["phase"] == "Running", timeout=15)
    assert state(newcomer, "second")["phase"] == "Running"
    newcomer.run("mls apps remove-app second; mls apps remove-app third")
    assert applications(newcomer) == []


def test_secrets_stay_with_their_owner(newcomer: Newcomer) -> None:
    token = context(newcomer)["api"]["token"].encode()
    for pid in newcomer.processes():
        about = b""
        with contextlib.suppress(OSError):
            about = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert token not in about, f"process {pid} has the token in its arguments or environment"
    holders = subprocess.run(
        ["grep", "-rlIE", "-e", f"{token.decode()}|PRIVATE KEY|client-key-data", newcomer.home],
        capture_output=True, text=True, check=False,
    ).stdout.split()  # fmt: skip
    assert len(holders) > 5
    for path in map(Path, holders):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, f"{path} can be read by others"
        assert path.suffix != ".log", f"{path} has a secret"
        assert "run" not in path.relative_to(newcomer.home).parts, f"{path}: an artifact of Ansible has a secret"
