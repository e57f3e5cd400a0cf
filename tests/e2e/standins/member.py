"""Makes a cluster that knows nothing of it a pull-mode member of a control plane of the embedded engine.

In a control plane of the engine this runs by itself; beside a real kube-apiserver it is what karmada-agent is to Karmada.

    python member.py NAME KUBECONFIG-OF-THE-MEMBER KUBECONFIG-OF-THE-CONTROL-PLANE-ABOVE
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from mlsysops_embedded.client import HttpClient
from mlsysops_embedded.propagation.federation import run_member


async def _run(name: str, member: str, above: str) -> None:
    async with HttpClient.from_kubeconfig(member, user_agent="karmada-agent") as client:
        await run_member(client, name, Path(above))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_run(*sys.argv[1:]))
