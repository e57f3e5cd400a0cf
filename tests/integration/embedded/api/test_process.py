"""The control plane as a process: start, stop, kill, backup, and what is wrong with its surroundings."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import stat
from typing import Any

import httpx
import yaml

MAPS = "/api/v1/namespaces/default/configmaps"


def test_bootstrap_changes_nothing_twice_and_keeps_secrets(fresh_plane: Any) -> None:
    assert fresh_plane.bootstrap() == {"changed": False}
    for path in ("pki/ca.key", "pki/server.key", "pki/sa.key", "admin.kubeconfig", "kubelet/kubelet.key"):
        assert stat.S_IMODE((fresh_plane.directory / path).stat().st_mode) == 0o600
    authority = (fresh_plane.directory / "pki/ca.crt").read_bytes()
    (fresh_plane.directory / "pki/server.crt").write_text("broken")
    (fresh_plane.directory / "admin.kubeconfig").unlink()
    assert fresh_plane.bootstrap() == {"changed": True}
    assert (fresh_plane.directory / "pki/ca.crt").read_bytes() == authority
    assert fresh_plane.bootstrap() == {"changed": False}


def test_it_stops_cleanly_with_watches_open(fresh_plane: Any) -> None:
    fresh_plane.start()
    with fresh_plane.client() as client, client.stream("GET", MAPS, params={"watch": "1"}) as answer:
        assert answer.status_code == 200
        assert fresh_plane.stop() == 0


async def test_no_acknowledged_write_is_lost_by_a_kill(fresh_plane: Any) -> None:
    """Writers and a watcher at work, SIGKILL, start again: every acknowledged write there, the watch resumes gapless."""
    rng = random.Random(3)
    acknowledged: dict[str, int] = {}
    seen: list[int] = []
    names: set[str] = set()
    for _ in range(4):
        fresh_plane.start()
        killed = asyncio.Event()
        async with fresh_plane.async_client() as client:

            async def writer(number: int, client: httpx.AsyncClient = client, killed: asyncio.Event = killed) -> None:
                while not killed.is_set():
                    try:
                        answer = await client.post(
                            MAPS, json={"metadata": {"generateName": f"k{number}-", "labels": {"k": "k"}}}
                        )
                    except httpx.TransportError:
                        return
                    if answer.status_code == 201:
                        metadata = answer.json()["metadata"]
                        acknowledged[metadata["name"]] = int(metadata["resourceVersion"])

            async def watcher(client: httpx.AsyncClient = client) -> None:
                params = {"watch": "1", "labelSelector": "k=k", "resourceVersion": str(seen[-1]) if seen else "1"}
                try:
                    async with client.stream("GET", MAPS, params=params) as answer:
                        async for line in answer.aiter_lines():
                            event = json.loads(line)
                            assert event["type"] == "ADDED", event
                            seen.append(int(event["object"]["metadata"]["resourceVersion"]))
                            names.add(event["object"]["metadata"]["name"])
                except httpx.TransportError:
                    return

            tasks = [asyncio.create_task(watcher()), *(asyncio.create_task(writer(n)) for n in range(8))]
            wanted = len(acknowledged) + rng.randrange(100, 250)
            async with asyncio.timeout(30):
                while len(acknowledged) < wanted:  # noqa: ASYNC110 - the writers have no one moment to announce
                    await asyncio.sleep(0.005)
            fresh_plane.stop(signal.SIGKILL)
            killed.set()
            await asyncio.gather(*tasks)
    fresh_plane.start()
    with fresh_plane.client() as client:
        listed = {
            i["metadata"]["name"]: int(i["metadata"]["resourceVersion"]) for i in client.get(MAPS).json()["items"]
        }
        assert acknowledged.items() <= listed.items()
        with client.stream(
            "GET",
            MAPS,
            params={"watch": "1", "labelSelector": "k=k", "resourceVersion": str(seen[-1]), "timeoutSeconds": 1},
        ) as answer:
            rest = [json.loads(line)["object"]["metadata"] for line in answer.iter_lines()]
    seen += [int(metadata["resourceVersion"]) for metadata in rest]
    names |= {metadata["name"] for metadata in rest}
    assert seen == sorted(set(seen))
    assert names == {name for name in listed if name.startswith("k") and name != "kube-root-ca.crt"}


def test_a_taken_port_and_bad_configuration_are_one_line(fresh_plane: Any) -> None:
    def refused(**more: Any) -> str:
        result = fresh_plane.run("controlplane", "--config", str(fresh_plane.write_config(**more)))
        assert result.returncode == 3, result.stderr
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1
        return lines[0]  # type: ignore[no-any-return]

    with socket.socket() as taken:
        taken.bind(("127.88.0.11", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "Address already in use" in refused(listen={"address": "127.88.0.11", "port": port})
    assert "servicecidr" in refused(servicecidr="x")
    assert "pki_dir" in refused(pki_dir="relative")
    assert "sa.key" in refused(pki_dir=str(fresh_plane.directory / "no-such"))
    missing = fresh_plane.run("controlplane", "--config", "/no/such/file")
    assert (missing.returncode, "No such file" in missing.stderr) == (3, True)


def test_one_control_plane_a_store(fresh_plane: Any) -> None:
    fresh_plane.start()
    config = yaml.safe_load((fresh_plane.directory / "controlplane.yaml").read_text())
    config["listen"] = {"address": "127.88.0.12", "port": 0}
    other = fresh_plane.directory / "other.yaml"
    other.write_text(yaml.safe_dump(config))
    result = fresh_plane.run("controlplane", "--config", str(other))
    assert (result.returncode, "in use by another process" in result.stderr) == (3, True)


def test_backup_and_restore(fresh_plane: Any) -> None:
    fresh_plane.start()
    copy = fresh_plane.directory / "copy"
    arguments = ("--config", str(fresh_plane.directory / "controlplane.yaml"), "--file", str(copy))
    with fresh_plane.client() as client:
        client.post(MAPS, json={"metadata": {"name": "kept"}})
        assert fresh_plane.run("backup", *arguments).returncode == 0
        later = client.post(MAPS, json={"metadata": {"name": "later"}}).json()["metadata"]["resourceVersion"]
    assert fresh_plane.run("restore", *arguments).returncode == 3
    fresh_plane.stop()
    restored = fresh_plane.run("restore", *arguments)
    assert restored.returncode == 0, restored.stderr
    fresh_plane.start()
    with fresh_plane.client() as client:
        assert client.get(f"{MAPS}/kept").status_code == 200
        assert client.get(f"{MAPS}/later").status_code == 404
        with client.stream("GET", MAPS, params={"watch": "1", "resourceVersion": later}) as answer:
            first = json.loads(next(answer.iter_lines()))
            assert (first["type"], first["object"]["code"]) == ("ERROR", 410)
        fresh = client.post(MAPS, json={"metadata": {"name": "new"}}).json()["metadata"]["resourceVersion"]
        assert int(fresh) > int(later)
