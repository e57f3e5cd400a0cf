"""What the modules of k3s and Karmada write and decide, without a host."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PLUGINS = Path(__file__).parents[3] / "mlsysops_cli/ansible_plugins"


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load a module utility as Ansible does, under ``ansible.module_utils``."""

    def load(name: str) -> ModuleType:
        full = f"ansible.module_utils.{name}"
        spec = importlib.util.spec_from_file_location(full, PLUGINS / f"module_utils/{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, full, module)
        spec.loader.exec_module(module)
        return module

    load("mls_supervisor")
    load("mls_download")
    return load


@pytest.mark.parametrize(("text", "name", "found"), [
    (f"{'a' * 64}  k3s\n{'b' * 64}  k3s-arm64\n", "k3s", "a" * 64),
    (f"{'A' * 64} *dir/k3s\n", "k3s", "a" * 64),
    (f"{'c' * 64}\n", "karmadactl.tgz", "c" * 64),
])  # fmt: skip
def test_lists_of_checksums(plugin: Any, text: str, name: str, found: str) -> None:
    assert plugin("mls_download").listed_digest(text, name) == found


@pytest.mark.parametrize("text", ["", "<html>404</html>", f"{'a' * 64}  other\n", f"{'a' * 63}  k3s\n"])
def test_a_list_that_does_not_name_a_file_is_refused(plugin: Any, text: str) -> None:
    download = plugin("mls_download")
    with pytest.raises(download.DownloadError, match="does not name k3s"):
        download.listed_digest(text, "k3s")


@pytest.mark.parametrize(("entry", "host", "covered"), [
    ("10.0.0.0/8", "10.1.2.3", True), ("10.1.2.3", "10.1.2.3", True), (".lab", "mirror.lab", True), ("lab", "mirror.lab", True),
    ("lab", "collab", False), ("10.0.0.0/8", "192.168.0.1", False), ("*", "anything", True), ("*.lab", "a.lab", True),
])  # fmt: skip
def test_where_to_go_without_a_proxy(plugin: Any, entry: str, host: str, covered: bool) -> None:
    assert plugin("mls_download")._covers(entry, host) is covered


def test_files_of_k3s(plugin: Any) -> None:
    import yaml

    k3s = plugin("mls_k3s").K3s("lab", "server")
    config = {"node-name": "s1", "node-label": ["a=b"], "secrets-encryption": True}
    files = {
        path.name: text for path, text in k3s.files(config, {}, {"HTTPS_PROXY": 'http://a"b$c', "NO_PROXY": ""}).items()
    }
    assert yaml.safe_load(files["config.yaml"]) == config
    assert files["registries.yaml"] == ""
    assert files["k3s.env"] == 'HTTPS_PROXY="http://a\\"b\\$c"\n'
    assert "Type=notify" in files["k3s.service"]
    assert "ExecStart=/usr/local/bin/k3s server --config /etc/rancher/k3s/config.yaml" in files["k3s.service"]
    # Nothing secret is in the unit, which everybody may read.
    assert "a\\" not in files["k3s.service"]
    agent = plugin("mls_k3s").K3s("lab", "agent").files({}, {}, {})
    assert {path.name for path in agent} >= {"k3s-agent.service"}


def test_which_packet_filter_rules_are_ours(plugin: Any) -> None:
    plugin("mls_k3s")
    removal = plugin("mls_k3s_removal")
    assert removal._leads_to_ours({"expr": [{"match": {}}, {"jump": {"target": "KUBE-SERVICES"}}]})
    assert removal._leads_to_ours({"expr": [{"goto": {"target": "CNI-HOSTPORT-DNAT"}}]})
    assert removal._leads_to_ours({"comment": "flanneld masq", "expr": []})
    assert not removal._leads_to_ours({"expr": [{"jump": {"target": "MY-OWN"}}, {"accept": None}]})
