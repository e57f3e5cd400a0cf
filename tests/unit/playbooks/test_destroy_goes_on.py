"""Everything is tried on every host on the way back, whatever breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Runner

SLICE = {"mg": "management", "s1": "server", "w1": "worker"}


def test_every_step_is_tried_on_every_host(run: Runner) -> None:
    # All hosts of a play break, and the only worker in one more step.
    broken = [*(f"{host} agents remove" for host in SLICE), "w1 node_embedded remove"]
    ran = run("destroy.yml", SLICE, broken=broken)
    assert ran.did("s1 controlplane_embedded remove", "mg controlplane_embedded remove")
    assert ran.did(*(f"{host} {role} remove" for host in SLICE for role in ("telemetry", "common", "mlsysops_runtime")))
    # Hosts of one play fail in no set order.
    assert sorted(f"{failure.host} {failure.task}" for failure in ran.result.failures) == sorted(broken)


def test_k3s_goes_whatever_breaks(run: Runner) -> None:
    broken = ["mg karmada remove", "s1 karmada remove", "w1 k3s_agent remove"]
    ran = run("destroy.yml", SLICE, engine="k3s", broken=broken)
    assert ran.did("mg k3s_server remove", "s1 k3s_server remove")
    assert ran.did(*(f"{host} {role} remove" for host in SLICE for role in ("artifacts", "mlsysops_runtime")))
    assert len(ran.result.failures) == 3


def test_a_silent_host_is_asked_once(run: Runner) -> None:
    ran = run("destroy.yml", SLICE, silent=["w1"])
    assert [(failure.host, failure.family) for failure in ran.result.failures] == [("w1", "unreachable")]
    assert not any(step.startswith("w1") and "remove" in step for step in ran.done)
    assert ran.did(*(f"{host} mlsysops_runtime remove" for host in ("mg", "s1")))


def test_apis_are_cleared_from_here_where_no_host_answers(run: Runner) -> None:
    ran = run("destroy.yml", SLICE, engine="existing", silent=["w1"], cut=["w1 agents remove"])
    assert ran.did(*(f"{host} kubernetes_objects remove" for host in ("mg", "s1")))
    assert [failure.family for failure in ran.result.failures] == ["unreachable"]
