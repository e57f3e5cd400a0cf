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

    load("mls_files")
    load("mls_download")
    load("mls_k3s_version")
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


@pytest.mark.parametrize(("running", "wanted", "refused"), [
    ("v1.36.4+k3s1", "v1.36.4+k3s1", ""),
    ("k3s version v1.36.4+k3s1 (abc)", "v1.36.5+k3s1", ""),
    ("v1.36.4+k3s1", "v1.36.4+k3s2", ""),
    ("v1.36.4+k3s1", "v1.37.0+k3s1", ""),
    ("v1.37.0-rc1+k3s1", "v1.37.0+k3s1", ""),
    ("", "v1.36.4+k3s1", ""),
    ("v1.36.4+k3s1", "v1.38.0+k3s1", "one minor version at a time: set mls_k3s_version to a release of v1.37 first"),
    ("v1.36.4+k3s1", "v2.0.0+k3s1", "one minor version at a time"),
    ("k3s version v1.36.4+k3s2 (abc)", "v1.36.4+k3s1", "k3s v1.36.4+k3s2 runs, and the inventory wants v1.36.4+k3s1: k3s does not go back"),
    ("v1.37.0+k3s1", "v1.37.0-rc1+k3s1", "does not go back"),
])  # fmt: skip
def test_which_version_may_follow_which(plugin: Any, running: str, wanted: str, refused: str) -> None:
    said = plugin("mls_k3s_version").refusal(running, wanted)
    assert refused in said
    assert bool(refused) == bool(said)


@pytest.mark.parametrize(("members", "well", "refused"), [
    ("abc", "abc", ""),
    ("abc", "ab", ""),  # the one that leaves is dead
    ("abc", "ac", "of the 2 servers that stay 1 would be ready"),
    ("abc", "c", "1 of 3 servers are ready"),
    ("ac", "ac", ""),
    ("ac", "a", "1 of 2 servers are ready"),
    ("ab", "ab", ""),  # it has left already
    ("abcde", "abc", "of the 4 servers that stay 2 would be ready"),
    ("abcde", "abd", ""),
])  # fmt: skip
def test_when_a_server_may_leave_etcd(members: str, well: str, refused: str) -> None:
    from mlsysops_cli.ansible_plugins.modules.mls_quorum import refusal

    said = refusal("c", list(members), list(well))
    assert refused in said
    assert bool(refused) == bool(said)


class Bed:
    """A host of k3s in a directory, with a systemctl that starts nothing."""

    def __init__(self, plugin: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.module = plugin("mls_k3s")
        self.root = root
        for name in ("CONFIG", "DATA", "UNITS"):
            monkeypatch.setattr(self.module, name, root / name.lower())
        monkeypatch.setattr(self.module, "PROGRAM", root / "bin/k3s")
        monkeypatch.setattr(self.module, "RECORD", root / "config/mlsysops.json")
        for name in ("config", "data", "units", "bin"):
            (root / name).mkdir(parents=True)
        self.asked: list[list[str]] = []
        self.pid = "7"
        self.dead = False
        monkeypatch.setattr(self.module, "run", self.run)
        self.k3s = self.module.K3s("lab", "server")
        self.k3s.claim("", check=False)
        self.program("v1.36.4+k3s1")

    def program(self, version: str) -> None:
        """Put a program in place as releases come: under its name, as another file."""
        partial = self.root / "bin/.new"
        partial.write_text(f"k3s version {version}\n")
        partial.replace(self.root / "bin/k3s")

    def run(self, *argv: str, **_: Any) -> Any:
        import subprocess

        self.asked.append(list(argv))
        said = ""
        if argv[:2] == ("systemctl", "show"):
            said = self.pid if "MainPID" in argv else ("failed" if self.dead else "active")
        elif argv[-1] == "--version":
            said = (self.root / "bin/k3s").read_text()
        return subprocess.CompletedProcess(argv, 0, said, "")


@pytest.fixture
def bed(plugin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bed:
    return Bed(plugin, tmp_path, monkeypatch)


def test_a_claim_refuses_versions_that_cannot_follow(bed: Bed) -> None:
    assert bed.k3s.claim("v1.37.0+k3s1", check=False) is False
    with pytest.raises(bed.module.K3sError, match="one minor version at a time"):
        bed.k3s.claim("v1.38.0+k3s1", check=True)


@pytest.fixture
def release(plugin: Any, bed: Bed) -> Any:
    image = bed.root / "images.tar"
    image.write_text("old images")
    bed.k3s.note(runs="old digest")
    return plugin("mls_k3s_release").Release(bed.k3s, bed.root / "kept", [image])


def upgrade(bed: Bed) -> None:
    bed.program("v1.37.0+k3s1")
    partial = bed.root / "images.new"
    partial.write_text("new images")
    partial.replace(bed.root / "images.tar")
    (bed.root / "config/registries.yaml").write_text("new")


def test_a_release_that_is_not_well_goes_back(bed: Bed, release: Any) -> None:
    release.remember()
    upgrade(bed)
    release.remember()  # an upgrade that was interrupted keeps the first thing that it remembered
    bed.pid = "8"
    bed.k3s.note(runs="new digest")
    assert release.restore(1) is True
    assert "v1.36.4" in (bed.root / "bin/k3s").read_text()
    assert (bed.root / "images.tar").read_text() == "old images"
    assert not (bed.root / "config/registries.yaml").exists()
    assert bed.k3s.record()["runs"] == "old digest"
    assert ["systemctl", "restart", "--no-block", "k3s.service"] in bed.asked
    assert release.restore(1) is False


def test_what_still_runs_is_not_started_again(bed: Bed, release: Any) -> None:
    release.remember()
    upgrade(bed)
    assert release.restore(1) is True
    assert not [words for words in bed.asked if "restart" in words]


def test_an_old_version_that_does_not_run_either_is_kept(bed: Bed, release: Any) -> None:
    release.remember()
    upgrade(bed)
    bed.dead = True
    with pytest.raises(bed.module.K3sError, match=r"the old version does not run either, all of it is kept in .*kept"):
        release.restore(0)
    assert release.kept


def test_a_release_that_does_well_is_forgotten(bed: Bed, release: Any) -> None:
    release.remember()
    upgrade(bed)
    release.settle()
    assert not (bed.root / "kept").exists()
    assert release.restore(1) is False
