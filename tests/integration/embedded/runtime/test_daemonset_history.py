"""What kubectl can do with a DaemonSet's history."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from embedded_plane import Plane, eventually, free_slice
from mlsysops_embedded.client.resources import CONTROLLER_REVISIONS, DAEMON_SETS

KUBECTL = shutil.which("kubectl")


@pytest.fixture
def plane(tmp_path: object) -> Iterator[Plane]:
    """A control plane without nodes: history needs none."""
    made = Plane(tmp_path / "plane", "history", free_slice(), 0)  # type: ignore[operator]
    made.bootstrap()
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not on the PATH")
async def test_kubectl_undoes_a_rollout(plane: Plane) -> None:
    def kubectl(*arguments: str) -> str:
        argv = [str(KUBECTL), f"--kubeconfig={plane.admin}", "-n", "default", *arguments]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async with plane.client() as client:
        await plane.ready(client)
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        await client.create(DAEMON_SETS, {"metadata": {"name": "ds"}, "spec": spec}, "default")

        async def numbers() -> list[int]:
            return sorted(r["revision"] for r in (await client.list(CONTROLLER_REVISIONS, "default"))["items"])

        async def numbered(*wanted: int) -> bool:
            return await numbers() == list(wanted)

        await eventually(lambda: numbered(1))
        kubectl("set", "image", "ds/ds", "c=two")
        await eventually(lambda: numbered(1, 2))
        assert "rolled back" in kubectl("rollout", "undo", "ds/ds")
        await eventually(lambda: numbered(2, 3))
        found = await client.get(DAEMON_SETS, "ds", "default")
        assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "one"
        assert "3" in kubectl("rollout", "history", "ds/ds")
