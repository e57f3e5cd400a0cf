"""A node agent that is a pod is told before its node leaves, and told to stay should the removal have ended half way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlsysops_cli.ansible_plugins.modules import mls_farewell

REQUEST = {"namespace": "ns", "name": "uninstall-a"}


class Module:
    """What the module asks of Ansible."""

    def __init__(self, **params: Any) -> None:
        self.params = {
            "request": REQUEST,
            "lease": {"namespace": "ns", "name": "l"},
            "annotation": "answer",
            "timeout": 0,
            **params,
        }


class Api:
    """A cluster with a Lease, and ConfigMaps of ours."""

    def __init__(self, answer: str | None = None, *config_maps: str) -> None:
        self.answer = answer
        self.config_maps = config_maps
        self.deleted: list[str] = []

    def get(self, path: str) -> Any:
        assert path == "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l"
        return None if self.answer is None else {"metadata": {"annotations": {"answer": self.answer}}}

    def apply(self, obj: Any, **_: Any) -> Any:
        assert obj["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "mls"
        return True, None, {"metadata": {"uid": "now"}}

    def request(self, method: str, path: str, **query: str) -> Any:
        assert "app.kubernetes.io/managed-by=mls" in query["labelSelector"]
        return {"items": [{"metadata": {"name": name}} for name in self.config_maps]}

    def delete(self, path: str, *, dry_run: bool) -> bool:
        self.deleted += [] if dry_run else [path.rpartition("/")[2]]
        return True


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (json.dumps({"request": "now", "fault": ""}), ""),
        (json.dumps({"request": "now", "fault": "governor: Input/output error"}), "governor: Input/output error"),
        (json.dumps({"request": "an earlier one", "fault": ""}), "its agent did not answer within 0 s"),
        ("no JSON", "its agent did not answer within 0 s"),
        (None, "its agent did not answer within 0 s"),
    ],
)
def test_what_an_agent_answers(answer: str | None, fault: str) -> None:
    assert mls_farewell._told(Module(), Api(answer)) == fault


def test_what_told_agents_is_taken_back_and_nothing_else() -> None:
    request = {"namespace": "ns", "name": "uninstall"}
    api = Api(None, "uninstall", "uninstall-w1", "uninstaller", "settings")
    assert mls_farewell._withdraw(api, request, dry_run=True) is True
    assert api.deleted == []
    mls_farewell._withdraw(api, request, dry_run=False)
    assert api.deleted == ["uninstall", "uninstall-w1"]
    assert mls_farewell._withdraw(Api(None, "settings"), request, dry_run=False) is False


def test_checked_on_clusters_that_were_never_deployed_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = {
        "kubeconfig": str(tmp_path / "none"),
        "request": REQUEST,
        "state": "withdrawn",
        "_ansible_check_mode": True,
    }
    monkeypatch.setattr(
        "ansible.module_utils.basic._ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    )
    monkeypatch.setattr("ansible.module_utils.basic._ANSIBLE_PROFILE", "legacy", raising=False)
    with pytest.raises(SystemExit) as ended:
        mls_farewell.main()
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["changed"] is False
