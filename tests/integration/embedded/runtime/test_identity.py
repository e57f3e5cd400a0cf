"""Containers that run as somebody else than the kubelet."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from embedded_plane import Plane, eventually, free_slice, gone, pod, pod_is, pod_ready
from mlsysops_embedded.client import HttpClient, Object
from mlsysops_embedded.client.resources import PODS, SECRETS

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may start programs as somebody else")
USER = 54321


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A control plane and a kubelet whose directory others can reach."""
    made = Plane(tmp_path_factory.mktemp("identity") / "plane", "identity", free_slice(), 0)
    made.bootstrap(nodes=("worker1",))
    data = Path(tempfile.mkdtemp(prefix="identity-"))
    data.chmod(0o755)
    (made.root / "worker1-data").symlink_to(data / "kubelet")
    runtime = made.root / "shell.yaml"
    images = [
        {"image": "shell/own", "exec": ["/bin/sh", "-c"], "ignore_user": True},
        {"image": "shell", "exec": ["/bin/sh", "-c"]},
    ]
    runtime.write_text(yaml.safe_dump({"images": images}))
    try:
        made.start()
        made.start_kubelet("worker1", data_dir=str(data / "kubelet"), runtime_config=str(runtime))
        yield made
    finally:
        made.close()
        shutil.rmtree(data)


def shell(name: str, script: str, image: str = "shell", security: Object | None = None, **container: object) -> Object:
    own = {"image": image, "args": [script], **container}
    return pod(name, container=own, securityContext=security or {})


async def test_a_program_and_its_probes_have_the_users_rights_and_can_write(plane: Plane, client: HttpClient) -> None:
    script = (
        "id -u > shared/who; id -g >> shared/who; id -G >> shared/who; "
        "echo own > own; echo said > /dev/stdout; trap 'exit 0' TERM; while :; do sleep 0.1; done"
    )
    probe = {"exec": {"command": ["/bin/sh", "-c", f'test "$(id -u)" = {USER} && test -s own']}, "periodSeconds": 1}
    wanted = shell(
        "somebody",
        script,
        security={"runAsUser": USER, "runAsGroup": USER + 1, "runAsNonRoot": True, "supplementalGroups": [USER + 2]},
        readinessProbe=probe,
        volumeMounts=[{"name": "shared", "mountPath": "/shared"}],
    )
    wanted["spec"]["volumes"] = [{"name": "shared", "emptyDir": {}}]
    await client.create(PODS, wanted, "default")
    found = await eventually(lambda: pod_ready(client, "somebody"))
    volume = plane.root / "worker1-data" / "pods" / found["metadata"]["uid"] / "volumes" / "shared"
    assert (volume / "who").read_text().split() == [str(USER), *[str(USER + 1)] * 2, str(USER + 2)]
    assert (volume / "who").stat().st_uid == USER
    await client.delete(PODS, "somebody", "default")
    await eventually(lambda: gone(client, PODS, "somebody", "default"))


async def test_a_group_may_read_what_is_mounted(plane: Plane, client: HttpClient) -> None:
    secret = {"metadata": {"name": "password"}, "stringData": {"word": "planted"}}
    await client.create(SECRETS, secret, "default")
    script = "set -e; cat secrets/words/word > shared/read; stat -L -c %g:%a secrets/words/word secrets/words shared/read >> shared/read"
    wanted = shell(
        "group", script,
        security={"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER + 3},
        volumeMounts=[{"name": "shared", "mountPath": "/shared"}, {"name": "words", "mountPath": "/secrets/words"}],
    )  # fmt: skip
    wanted["spec"]["volumes"] = [
        {"name": "shared", "emptyDir": {}},
        {"name": "words", "secret": {"secretName": "password", "defaultMode": 0o400}},
    ]
    wanted["spec"]["restartPolicy"] = "Never"
    made = await client.create(PODS, wanted, "default")
    await eventually(lambda: pod_is(client, "group", "Succeeded"))
    volumes = plane.root / "worker1-data" / "pods" / made["metadata"]["uid"] / "volumes"
    file, directory, written = (volumes / "shared" / "read").read_text().removeprefix("planted").split()
    assert file == f"{USER + 3}:440"
    assert directory.startswith(f"{USER + 3}:")
    assert written.startswith(f"{USER + 3}:")
    await client.delete(PODS, "group", "default")


async def test_nobody_may_be_root_and_root_would_be(client: HttpClient) -> None:
    await client.create(PODS, shell("rootless", "true", security={"runAsNonRoot": True}), "default")

    async def refused() -> str:
        found = await client.get(PODS, "rootless", "default")
        statuses = (found.get("status") or {}).get("containerStatuses") or [{}]
        waiting = (statuses[0].get("state") or {}).get("waiting") or {}
        return waiting.get("message", "") if waiting.get("reason") == "CreateContainerConfigError" else ""

    assert "runAsNonRoot" in await eventually(refused)
    await client.delete(PODS, "rootless", "default")


async def test_an_image_can_be_excepted(client: HttpClient) -> None:
    script = 'test "$(id -u)" = 0'
    wanted = shell("excepted", script, image="shell/own", security={"runAsUser": USER})
    wanted["spec"]["restartPolicy"] = "Never"
    await client.create(PODS, wanted, "default")
    await eventually(lambda: pod_is(client, "excepted", "Succeeded"))
