"""What the real kubectl shows of the logs of programs: as they are written, and of the attempt before."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from embedded_plane import Plane, eventually, gone, pod
from mlsysops_embedded.client import HttpClient
from mlsysops_embedded.client.resources import PODS

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="no kubectl")


async def kubectl(plane: Plane, *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        str(KUBECTL), f"--kubeconfig={plane.admin}", *arguments, stdout=pipe, stderr=pipe
    )


async def test_following_shows_lines_as_they_come_and_ends_with_the_program(plane: Plane, client: HttpClient) -> None:
    code = "import pathlib, time\nprint('first', flush=True)\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)\nprint('last')"
    await client.create(PODS, pod("talks", code, restartPolicy="Never"), "default")

    async def began() -> bool:
        shown, _ = await (await kubectl(plane, "logs", "talks")).communicate()
        return shown == b"first\n"

    await eventually(began)
    following = await kubectl(plane, "logs", "-f", "talks")
    assert following.stdout is not None
    async with asyncio.timeout(30):
        assert await following.stdout.readline() == b"first\n"
        uid = (await client.get(PODS, "talks", "default"))["metadata"]["uid"]
        (home,) = plane.root.glob(f"*-data/pods/{uid}/rootfs/main")
        (home / "go").touch()
        assert await following.stdout.read() == b"last\n"
        assert await following.wait() == 0
    await client.delete(PODS, "talks", "default")
    await eventually(lambda: gone(client, PODS, "talks", "default"))


async def test_the_attempt_before_is_shown_by_previous(plane: Plane, client: HttpClient) -> None:
    code = "import pathlib, sys, time\nif pathlib.Path('n').exists(): print('second', flush=True); time.sleep(1000)\npathlib.Path('n').touch()\nprint('first')\nsys.exit(3)"
    await client.create(PODS, pod("again", code), "default")

    async def twice() -> bool:
        shown, _ = await (await kubectl(plane, "logs", "again")).communicate()
        return shown == b"second\n"

    await eventually(twice)
    shown, _ = await (await kubectl(plane, "logs", "--previous", "again")).communicate()
    assert shown == b"first\n"
    await client.delete(PODS, "again", "default")
    await eventually(lambda: gone(client, PODS, "again", "default"))
