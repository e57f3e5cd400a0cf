"""Who a container runs as, and whether he gets to where it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlsysops_embedded.client import Object
from mlsysops_embedded.kubelet.environment import ContainerConfigError
from mlsysops_embedded.kubelet.identity import Identity, identity_of, open_way


def made(common: Object | None = None, own: Object | None = None, kubelet: int = 0) -> Identity | None:
    container = {"name": "c", "securityContext": own or {}}
    return identity_of({"metadata": {"name": "p"}, "spec": {"securityContext": common}}, container, kubelet)


def test_a_container_says_more_than_its_pod() -> None:
    assert made() is None
    assert made({"runAsUser": 7}) == Identity(7, 0)
    assert made({"runAsUser": 7, "runAsGroup": 8}, {"runAsUser": 9}) == Identity(9, 8)
    assert made({"runAsUser": 7, "fsGroup": 5, "supplementalGroups": [6, 5]}) == Identity(7, 0, (5, 6))
    assert made({"runAsUser": 7}, {"runAsUser": 0}) is None


def test_root_is_refused_where_nobody_may_be_root() -> None:
    with pytest.raises(ContainerConfigError, match="runAsUser breaks non-root policy"):
        made({"runAsNonRoot": True}, {"runAsUser": 0})
    with pytest.raises(ContainerConfigError, match="would run as root"):
        made({"runAsNonRoot": True})
    assert made({"runAsNonRoot": True, "runAsUser": 7}) == Identity(7, 0)
    assert made({"runAsNonRoot": True}, {"runAsNonRoot": False}) is None


def test_a_kubelet_without_rights_starts_all_as_itself() -> None:
    assert made({"runAsUser": 7, "runAsNonRoot": True}, kubelet=1000) is None


def test_the_way_is_opened_below_the_kubelet_and_a_closed_one_is_named(tmp_path: Path) -> None:
    pod = tmp_path / "data" / "pods" / "uid"
    pod.mkdir(parents=True)
    for directory in (pod, pod.parent, pod.parent.parent):
        directory.chmod(0o700)
    tmp_path.chmod(0o700)
    stranger = Identity(tmp_path.stat().st_uid + 12345, 54321)
    with pytest.raises(ContainerConfigError, match=f"cannot reach {pod}: {tmp_path} is closed to others"):
        open_way(stranger, pod, 2, [pod])
    assert [d.stat().st_mode & 0o777 for d in (pod, pod.parent, pod.parent.parent, tmp_path)] == [0o711] * 3 + [0o700]
