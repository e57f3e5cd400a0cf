"""Everything is tried on every host on the way back, whatever breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Runner

SLICE = {"mg": "management", "s1": "server", "w1": "worker"}


def test_every_step_is_tried_on_every_host(run: Runner) -> None:
    # All hosts of a play break, and the only worker in one more step.
    broken = [*(f"{host} agents remove" for host in SLICE), "w1 node_embedded remove"]
    ran = run("destroy.yml", SLICE, broken=broken, mls_judged=True)
    assert ran.did("s1 controlplane_embedded remove", "mg controlplane_embedded remove")
    assert ran.did(*(f"{host} {role} remove" for host in SLICE for role in ("telemetry", "common", "mlsysops_runtime")))
    # Hosts of one play fail in no set order.
    assert sorted(f"{failure.host} {failure.task}" for failure in ran.result.failures) == sorted(broken)


def test_k3s_goes_whatever_breaks(run: Runner) -> None:
    broken = ["mg karmada remove", "s1 karmada remove", "w1 k3s_agent remove"]
    ran = run("destroy.yml", SLICE, engine="k3s", broken=broken, mls_judged=True)
    assert ran.did("mg k3s_server remove", "s1 k3s_server remove")
    assert ran.did(*(f"{host} {role} remove" for host in SLICE for role in ("artifacts", "mlsysops_runtime")))
    assert len(ran.result.failures) == 3


def test_a_silent_host_is_asked_once(run: Runner) -> None:
    ran = run("destroy.yml", SLICE, silent=["w1"], mls_judged=True)
    assert [(failure.host, failure.family) for failure in ran.result.failures] == [("w1", "unreachable")]
    assert not any(step.startswith("w1") and "remove" in step for step in ran.done)
    assert ran.did(*(f"{host} mlsysops_runtime remove" for host in ("mg", "s1")))


def test_apis_are_cleared_from_here_where_no_host_answers(run: Runner) -> None:
    ran = run("destroy.yml", SLICE, engine="existing", silent=["w1"], cut=["w1 agents remove"], mls_judged=True)
    assert ran.did(*(f"{host} kubernetes_objects remove" for host in ("mg", "s1")))
    assert [failure.family for failure in ran.result.failures] == ["unreachable"]


@pytest.mark.parametrize("engine", ["embedded", "k3s"])
def test_plain_ansible_ends_with_the_hosts_that_something_is_left_on(run: Runner, engine: str) -> None:
    slice_ = {**SLICE, "w2": "worker"}
    ran = run("destroy.yml", slice_, engine=engine, broken=["w1 common remove", "w1 agents remove"], silent=["w2"])
    assert ran.did("w1 mlsysops_runtime remove", "mg mlsysops_runtime remove")
    assert ran.result.returncode != 0
    (told,) = [failure for failure in ran.result.failures if failure.task == "Name the hosts"]
    assert told.message == "not everything is removed from w1; w2 did not answer: run it again"


def test_plain_ansible_ends_well_where_nothing_is_left(run: Runner) -> None:
    ran = run("destroy.yml", SLICE)
    assert (ran.result.returncode, ran.result.failures) == (0, [])
