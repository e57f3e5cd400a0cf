"""`mls` -> northbound API -> control plane, all real."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

APP = """\
MLSysOpsApp:
  name: shop            # kept
  components:
    - metadata: {name: web}
      containers: [{image: "example.org/web:1"}]
"""

RUNNING: dict[str, Any] = {
    "phase": "Running",
    "observedGeneration": 1,
    "components": [{"name": "web", "cluster": "c1", "node": "n1", "phase": "Running", "ready": True}],
}


@pytest.fixture
def shop(slice_: Any, mls: Any) -> Any:
    """An application that is removed afterwards."""
    done = mls("apps", "deploy-app", "--path", "-", stdin=APP)
    assert (done.returncode, done.stdout) == (0, "application/shop created\n"), done.stderr
    yield slice_
    mls("apps", "remove-app", "shop")


def test_the_life_of_an_application(shop: Any, mls: Any) -> None:
    assert mls("apps", "deploy-app", "--path", "-", stdin=APP).stdout == "application/shop unchanged\n"
    assert mls("apps", "get-app-status", "shop").stdout.splitlines()[1].endswith("Pending")
    shop.set_status("shop", RUNNING)
    state = json.loads(mls("apps", "get-app-status", "shop", "-o", "json").stdout)
    assert (state["phase"], state["clusters"], state["components"]) == ("Running", ["c1"], {"ready": 1, "total": 1})
    by_uid = mls("apps", "get-app-details", state["uid"], "-o", "jsonpath={.description.MLSysOpsApp.name}")
    assert by_uid.stdout == "shop"
    waited = mls("apps", "deploy-app", "--path", "-", "--wait", "--timeout", "5", stdin=APP)
    assert waited.returncode == 0, waited.stderr
    changed = APP.replace("web:1", "web:2")
    assert mls("apps", "diff", "--path", "-", stdin=changed).returncode == 1
    assert mls("apps", "deploy-app", "--path", "-", stdin=changed).returncode == 7
    forced = mls(
        "apps", "deploy-app", "--path", "-", "--force", "-o", "jsonpath={.action} {.generation}", stdin=changed
    )
    assert forced.stdout == "updated 2"
    assert json.loads(mls("apps", "get-app-status", "shop", "-o", "json").stdout)["phase"] == "Running", (
        "status was lost"
    )
    removed = mls("apps", "remove-app", "shop")
    assert (removed.returncode, removed.stdout) == (0, "application/shop removed\n"), removed.stderr
    assert mls("apps", "get-app-status", "shop").returncode == 6


def test_a_server_dry_run_is_checked_by_the_control_plane_and_writes_nothing(slice_: Any, mls: Any) -> None:
    done = mls("apps", "deploy-app", "--path", "-", "--dry-run=server", stdin=APP)
    assert done.stdout == "application/shop created (server dry run)\n", done.stderr
    assert mls("apps", "get-app-status", "shop").returncode == 6


def test_an_etag_guards_against_two_who_write(shop: Any) -> None:
    etag = shop.client.get("/v1/apps/shop").headers["etag"]
    shop.set_status("shop", RUNNING)
    headers = {"If-Match": etag, "Content-Type": "application/yaml"}
    assert shop.client.put("/v1/apps/shop", content=APP, headers=headers).status_code == 409


def test_pages(slice_: Any, mls: Any) -> None:
    names = [f"app-{number}" for number in range(5)]
    for name in names:
        assert slice_.client.post("/v1/apps", content=APP.replace("shop", name)).status_code == 201
    found, token = [], ""
    while True:
        page = slice_.client.get("/v1/apps", params={"limit": 2, "continue": token}).json()
        assert len(page["items"]) <= 2
        found += [item["id"] for item in page["items"]]
        token = page["continue"]
        if not token:
            break
    assert found == names
    assert mls("apps", "list-all", "-o", "name").stdout.split() == [f"application/{name}" for name in names]
    for name in names:
        slice_.client.delete(f"/v1/apps/{name}")


def test_infrastructure_and_settings(slice_: Any, mls: Any) -> None:
    cluster = "MLSysOpsCluster: {name: c1, cluster_id: c1, nodes: [n1]}\n"
    assert mls("infra", "register-infra", "--path", "-", stdin=cluster).stdout == "mlsysopscluster/c1 created\n"
    assert mls("infra", "list", "-o", "name").stdout == "mlsysopscluster/c1\n"
    obj = slice_.kube.get("/apis/mlsysops.eu/v1/namespaces/mlsysops/mlsysopsclusters/c1").json()
    assert obj["metadata"]["labels"]["mlsysops.eu/cluster"] == "c1"
    assert mls("infra", "unregister-infra", "c1").returncode == 0
    assert mls("manage", "set-mode", "--mode", "1").stdout == "mode 1 (ml)\n"
    settings = slice_.kube.get("/api/v1/namespaces/mlsysops-framework/configmaps/mlsysops-settings").json()
    assert settings["data"]["mode"] == "1"
    assert mls("manage", "ping").returncode == 1, "there are no agents here"


def test_the_control_plane_goes_away_and_comes_back(slice_: Any, mls: Any) -> None:
    slice_.plane.stop(signal.SIGKILL)
    answer = slice_.client.get("/v1/apps", timeout=30)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    down = mls("apps", "list-all")
    assert (down.returncode, len(down.stderr.splitlines())) == (4, 1)
    assert slice_.answers("/healthz")
    slice_.plane.start()
    slice_.wait_until_ready()
    assert mls("apps", "list-all").returncode == 0


def test_the_northbound_api_is_down(slice_: Any, mls: Any) -> None:
    assert slice_.north.stop() == 0
    down = mls("apps", "list-all")
    assert (down.returncode, len(down.stderr.splitlines())) == (4, 1)
    assert slice_.url in down.stderr
    slice_.north.start()
    slice_.wait_until_ready()


def test_an_answer_is_remembered_over_a_restart(slice_: Any) -> None:
    headers = {"Idempotency-Key": "once", "Content-Type": "application/yaml"}
    first = slice_.client.post("/v1/apps", content=APP, headers=headers)
    slice_.north.stop(signal.SIGKILL)
    slice_.north.start()
    slice_.wait_until_ready()
    second = slice_.client.post("/v1/apps", content=APP, headers=headers)
    assert (second.status_code, second.json()) == (first.status_code, first.json()) == (201, first.json())
    assert second.headers["idempotent-replayed"] == "true"
    slice_.client.delete("/v1/apps/shop")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"listen": {"address": "0.0.0.0", "port": 0}}, "not loopback"),
        ({"unknown": 1}, "unknown"),
        ({"token_file": "/nonexistent"}, "No such file"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_code_3(
    slice_: Any, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    config = yaml.safe_load((slice_.directory / "north.yaml").read_text())
    file = tmp_path / "north.yaml"
    file.write_text(yaml.safe_dump({**config, **change}))
    command = [sys.executable, "-m", "mlsysops_northbound", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1), done.stderr
    assert words in done.stderr


def test_a_port_that_is_taken_is_one_clear_line(slice_: Any) -> None:
    command = [sys.executable, "-m", "mlsysops_northbound", "--config", str(slice_.directory / "north.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (7, 1), done.stderr
    assert "address already in use" in done.stderr


def test_slow_and_broken_clients_do_not_disturb_others(slice_: Any) -> None:
    import socket

    host, port = slice_.url.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(50)]
    for connection in slow:
        connection.sendall(b"POST /v1/apps HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert slice_.answers("/healthz")
    with socket.create_connection((host, int(port))) as broken:
        broken.sendall(b"\x00\x01garbage\r\n\r\n")
        assert b"400" in broken.recv(100)
    for connection in slow:
        connection.close()
    assert slice_.answers("/healthz")
    assert httpx.get(slice_.url + "/v1/apps", trust_env=False).status_code == 401


def test_the_context_token_is_private(slice_: Any) -> None:
    assert stat.S_IMODE((slice_.directory / "token").stat().st_mode) == 0o600
    assert "integration-token" not in slice_.north.log.read_text()


def test_over_tls_the_certificate_is_checked(slice_: Any, tmp_path: Path) -> None:
    from dataclasses import replace

    from mlsysops_core.errors import Unreachable

    from mlsysops_cli.client import Northbound, Target

    config = yaml.safe_load((slice_.directory / "north.yaml").read_text())
    pki = slice_.directory / "pki"
    tls = {"cert": str(pki / "server.crt"), "key": str(pki / "server.key")}
    address, port = config["listen"]["address"], slice_.free_port()
    file = tmp_path / "north.yaml"
    listen = {"address": address, "port": port}
    file.write_text(yaml.safe_dump({**config, "listen": listen, "tls": tls, "state_dir": str(tmp_path)}))
    server = replace(slice_.north, argv=[*slice_.north.argv[:-1], str(file)], log=tmp_path / "log")
    server.start()
    try:
        token = Path(config["token_file"]).read_text()
        target = Target(f"https://{address}:{port}", token, str(pki / "ca.crt"))

        def answers() -> bool:
            try:
                with Northbound(target) as api:
                    return bool(api.get("/v1/apps") == {"items": [], "continue": ""})
            except Unreachable:
                return False

        slice_.wait_for(answers, "the API over TLS")
        with Northbound(replace(target, ca_file=None)) as stranger, pytest.raises(Unreachable, match="certificate"):
            stranger.get("/v1/apps")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://{address}:{port}/healthz", trust_env=False)
    finally:
        assert server.stop() == 0
