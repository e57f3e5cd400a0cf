"""A kubeconfig of k3s becomes one that is used from elsewhere: another address, a name of its own, the same credentials."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

PLUGINS = Path(__file__).parents[3] / "mlsysops_cli/ansible_plugins"
#: As k3s writes it.
TEXT = """\
apiVersion: v1
clusters:
- cluster: {certificate-authority-data: Q0E=, server: "https://127.0.0.1:6443"}
  name: default
contexts:
- context: {cluster: default, user: default}
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: default
  user: {client-certificate-data: Q1JU, client-key-data: S0VZ}
"""


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> Any:
    import ansible.module_utils

    monkeypatch.setattr(
        ansible.module_utils, "__path__", [*ansible.module_utils.__path__, str(PLUGINS / "module_utils")]
    )
    spec = importlib.util.spec_from_file_location("mls_kubeconfig", PLUGINS / "modules/mls_kubeconfig.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module._renamed


def test_address_and_names_are_new_and_credentials_the_same(renamed: Any) -> None:
    found = yaml.safe_load(renamed(TEXT, "https://10.0.0.1:6443", "lab-c1"))
    assert found["clusters"] == [
        {"name": "lab-c1", "cluster": {"certificate-authority-data": "Q0E=", "server": "https://10.0.0.1:6443"}}
    ]
    assert found["users"] == [
        {"name": "lab-c1", "user": {"client-certificate-data": "Q1JU", "client-key-data": "S0VZ"}}
    ]
    assert found["current-context"] == "lab-c1"
    assert found["contexts"] == [{"name": "lab-c1", "context": {"cluster": "lab-c1", "user": "lab-c1"}}]


@pytest.mark.parametrize("text", ["", "{}", "current-context: x\ncontexts: []\n"])
def test_what_is_no_kubeconfig_is_noticed(renamed: Any, text: str) -> None:
    with pytest.raises((ValueError, LookupError, TypeError, StopIteration)):
        renamed(text, "https://10.0.0.1:6443", "lab-c1")
