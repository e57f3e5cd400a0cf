"""Policies, settings and mode reach running agents of all tiers through the API alone, and their word comes back."""

from __future__ import annotations

import base64
import contextlib
import signal
from typing import Any

import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mlsysops_agents.adapters.kubernetes.resources import CONFIG_MAPS, MLSYSOPS_CLUSTERS, MLSYSOPS_NODES
from mlsysops_core.model.agents import FOR_AGENTS, Revision, SentToAgents, digest_of, object_name, signed_bytes
from tiers_slice import NAMESPACE, LocalSlice, eventually

FRAMEWORK = "mlsysops-framework"
POLICY = """
def initialize():
    return {{"scope": "{scope}", "configuration": {{"analyze_interval": "1s"}}, "machine_learning_usage": {learned}, "n": 0}}

async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    context["n"] += 1
    context["system"] = system_description.get("system")
    return False, context

async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return {{}}, context
"""


async def send(
    slice_: LocalSlice,
    target: str,
    texts: list[str],
    *,
    kind: str = "policy",
    name: str = "mine",
    key: Ed25519PrivateKey | None = None,
) -> None:
    """Send the last of these texts, signed where a key is given; the others are its earlier revisions."""
    revisions = [
        Revision(
            revision=number,
            digest=digest_of(text),
            signature=base64.b64encode(key.sign(signed_bytes(kind, name, digest_of(text)))).decode() if key else "",
        )
        for number, text in enumerate(texts, 1)
    ]
    sent = SentToAgents(kind=kind, name=name, target=target, revisions=revisions[::-1])  # type: ignore[arg-type]
    sent.texts = dict(enumerate(texts, 1))
    metadata = {
        "name": object_name(kind, name, target),
        "namespace": FRAMEWORK,
        "labels": {FOR_AGENTS: kind},
    }
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": sent.to_data()}
    await slice_.continuum.apply(CONFIG_MAPS, obj, FRAMEWORK, field_manager="tests")


async def take_back(slice_: LocalSlice, target: str, *, kind: str = "policy", name: str = "mine") -> None:
    await slice_.continuum.delete(CONFIG_MAPS, object_name(kind, name, target), FRAMEWORK)


async def settings(slice_: LocalSlice, **data: str) -> None:
    metadata = {"name": "mlsysops-settings", "namespace": FRAMEWORK}
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    await slice_.continuum.apply(CONFIG_MAPS, obj, FRAMEWORK, field_manager="tests")


async def told(slice_: LocalSlice, kind: Any, agent: str, policy: str = "mine") -> dict[str, Any]:
    """What the continuum knows of a policy of an agent."""
    status = (await slice_.continuum.get(kind, agent, NAMESPACE)).get("status") or {}
    return next((dict(item) for item in status.get("policies") or () if item["name"] == policy), {})


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in process.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one, too
            if "mlsysops_core.plugins.worker" in child.cmdline():
                found.append(child)
    return found


async def test_policies_come_change_fail_and_go_while_agents_run(local_slice: LocalSlice) -> None:
    good = POLICY.format(scope="node", learned=False)
    await send(local_slice, "node/worker1", [good])

    async def runs(revision: int, kind: Any = MLSYSOPS_NODES, agent: str = "worker1") -> dict[str, Any] | None:
        item = await told(local_slice, kind, agent)
        return item if (item.get("state"), item.get("revision")) == ("Running", revision) else None

    item = await eventually(lambda: runs(1), what="revision 1 runs")
    assert item["version"] == f"sha256:{digest_of(good)}"
    assert await told(local_slice, MLSYSOPS_NODES, "worker2") == {}
    agent = psutil.Process(local_slice.processes["worker1-agent"].pid)
    (worker,) = workers_of(agent)

    # One that does not load replaces nothing.
    broken = good.replace("async def plan", "async def plam")
    await send(local_slice, "node/worker1", [good, broken])

    async def failed() -> dict[str, Any] | None:
        item = await told(local_slice, MLSYSOPS_NODES, "worker1")
        return item if item.get("state") == "Failed" else None

    item = await eventually(failed, what="the failure is told")
    assert (item["revision"], item["wantedRevision"]) == (1, 2)
    assert "function plan() is missing" in item["message"]
    assert workers_of(agent) == [worker]

    # The one before comes back as a new revision; a worker that is killed comes back, too.
    await send(local_slice, "node/worker1", [good, broken, good])
    await eventually(lambda: runs(3), what="revision 3 runs")

    async def one_other() -> bool:
        found = workers_of(agent)
        return len(found) == 1 and found[0] != worker

    await eventually(one_other, what="the worker before is gone")
    worker = workers_of(agent)[0]
    worker.kill()

    await eventually(one_other, what="a new worker")

    # A restarted agent takes it up again, and one that is taken back is gone.
    process = local_slice.processes["worker1-agent"]
    workers = workers_of(agent)
    process.stop(signal.SIGKILL)

    async def ended() -> bool:
        return not workers[0].is_running() or workers[0].status() == psutil.STATUS_ZOMBIE

    await eventually(ended, what="workers end with their agent")
    process.start()

    async def worker_again() -> bool:
        return bool(workers_of(psutil.Process(process.pid)))

    await eventually(worker_again, what="the policy runs after a restart")
    await take_back(local_slice, "node/worker1")

    async def gone() -> bool:
        return await told(local_slice, MLSYSOPS_NODES, "worker1") == {} and not await worker_again()

    await eventually(gone, what="the policy is gone")


async def test_agents_run_what_somebody_they_trust_has_signed(local_slice: LocalSlice) -> None:
    alice, mallory = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    public = alice.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    config = local_slice.config("worker1", "agent")
    config.write_text(f"{config.read_text()}policy_signers: ['{public} alice']\n")
    agent = local_slice.processes["worker1-agent"]
    agent.stop()
    agent.start()
    text = POLICY.format(scope="node", learned=False)

    async def state(agent: str, wanted: str) -> bool:
        return bool((await told(local_slice, MLSYSOPS_NODES, agent)).get("state") == wanted)

    await send(local_slice, "node", [text], key=mallory)
    await eventually(lambda: state("worker1", "Refused"), what="worker1 does not trust mallory")
    message = (await told(local_slice, MLSYSOPS_NODES, "worker1"))["message"]
    assert "whom the agent's configuration trusts (alice)" in message
    await eventually(lambda: state("worker2", "Running"), what="worker2 asks nobody")
    await send(local_slice, "node", [text], key=alice)
    await eventually(lambda: state("worker1", "Running"), what="worker1 trusts alice")


async def test_settings_and_mode_reach_agents_also_one_that_was_away(local_slice: LocalSlice) -> None:
    await send(local_slice, "mlsysops.eu/tier in (cluster, node)", [POLICY.format(scope="system", learned=True)])

    async def state(agent: str, kind: Any, wanted: str, policy: str = "mine") -> bool:
        return bool((await told(local_slice, kind, agent, policy)).get("state") == wanted)

    for agent, kind in (("cluster1", MLSYSOPS_CLUSTERS), ("worker1", MLSYSOPS_NODES), ("worker2", MLSYSOPS_NODES)):
        await eventually(lambda agent=agent, kind=kind: state(agent, kind, "Off"), what=f"{agent} is heuristic")
    away = local_slice.processes["worker2-agent"]
    away.stop(signal.SIGKILL)
    await settings(local_slice, mode="1", **{"system-targets": '[{"metric": "energy", "target": 5}]'})
    for agent, kind in (("cluster1", MLSYSOPS_CLUSTERS), ("worker1", MLSYSOPS_NODES)):
        await eventually(lambda agent=agent, kind=kind: state(agent, kind, "Running"), what=f"{agent} uses models")
    away.start()
    await eventually(lambda: state("worker2", MLSYSOPS_NODES, "Running"), what="worker2 heard of it, too")

    await settings(local_slice, mode="0")
    await eventually(lambda: state("cluster1", MLSYSOPS_CLUSTERS, "Off"), what="heuristic again")

    switched_off = "policies: {relocateComponents: {enabled: false}}"
    await send(local_slice, "cluster", [switched_off], kind="config", name="calm")
    await eventually(
        lambda: state("cluster1", MLSYSOPS_CLUSTERS, "Off", "relocateComponents"), what="relocation is switched off"
    )
    await take_back(local_slice, "cluster", kind="config", name="calm")
    await eventually(
        lambda: state("cluster1", MLSYSOPS_CLUSTERS, "Running", "relocateComponents"), what="relocation is back"
    )

    # A slice that lists digests takes no other policy.
    await settings(local_slice, mode="1", **{"policy-digests": "0" * 64})
    await eventually(lambda: state("cluster1", MLSYSOPS_CLUSTERS, "Refused"), what="the digest is refused")
    assert (
        "is not among those that the slice allows"
        in (await told(local_slice, MLSYSOPS_CLUSTERS, "cluster1"))["message"]
    )
