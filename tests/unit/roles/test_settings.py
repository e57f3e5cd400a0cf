"""Settings of a host: only what is missing is changed, and exactly that is put back; on a tree instead of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.module_utils import mls_settings
from ansible.module_utils.mls_record import Record, record
from ansible.module_utils.mls_settings import Clock, Packages, SettingError, Sysctl

CONF = "etc/sysctl.d/60-mlsysops.conf"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, value in (
        ("net/core/somaxconn", "128"),
        ("fs/inotify/max_user_instances", "1024"),
        ("kernel/core", "a b"),
    ):
        path = tmp_path / "proc/sys" / name
        path.parent.mkdir(parents=True)
        path.write_text(value + "\n")
    return tmp_path


def value(root: Path) -> str:
    return (root / "proc/sys/net/core/somaxconn").read_text().strip()


def want(root: Path, kept: Record, user: str, least: str, *, change: bool = True) -> list[str]:
    return Sysctl(user, kept, str(root)).want({"net.core.somaxconn": least}, change=change)


def test_parameters_are_raised_and_put_back(root: Path) -> None:
    kept = Record({})
    assert want(root, kept, "a", "4096", change=False) == ["net.core.somaxconn"]
    assert (value(root), kept.content) == ("128", {})
    assert want(root, kept, "a", "4096") == ["net.core.somaxconn"]
    assert want(root, kept, "a", "4096") == []
    assert value(root) == "4096"
    assert "net.core.somaxconn = 4096\n" in (root / CONF).read_text()
    assert Sysctl("a", kept, str(root)).release(change=False) == ["net.core.somaxconn"]
    assert value(root) == "4096"
    assert Sysctl("a", kept, str(root)).release(change=True) == ["net.core.somaxconn"]
    assert (value(root), kept.content, (root / CONF).exists()) == ("128", {}, False)
    assert Sysctl("a", kept, str(root)).release(change=True) == []


def test_what_is_enough_is_left_alone(root: Path) -> None:
    kept = Record({})
    assert Sysctl("a", kept, str(root)).want({"fs.inotify.max_user_instances": "512"}, change=True) == []
    assert kept.content == {}
    assert not (root / CONF).exists()


def test_two_slices_share_a_parameter_until_neither_wants_it(root: Path) -> None:
    kept = Record({})
    want(root, kept, "a", "4096")
    assert want(root, kept, "b", "8192") == ["net.core.somaxconn"]
    assert "= 8192\n" in (root / CONF).read_text()
    assert Sysctl("a", kept, str(root)).release(change=True) == []
    assert value(root) == "8192"
    assert Sysctl("b", kept, str(root)).release(change=True) == ["net.core.somaxconn"]
    assert value(root) == "128"


def test_a_value_that_somebody_changed_later_is_theirs(root: Path) -> None:
    kept = Record({})
    want(root, kept, "a", "4096")
    (root / "proc/sys/net/core/somaxconn").write_text("9999\n")
    Sysctl("a", kept, str(root)).release(change=True)
    assert value(root) == "9999"


def test_what_is_no_longer_wanted_is_put_back(root: Path) -> None:
    kept = Record({})
    want(root, kept, "a", "4096")
    assert Sysctl("a", kept, str(root)).want({}, change=True) == ["net.core.somaxconn"]
    assert value(root) == "128"


def test_a_parameter_that_the_kernel_lacks_is_named(root: Path) -> None:
    with pytest.raises(SettingError, match=r"no parameter net\.none: remove it from mls_sysctl"):
        Sysctl("a", Record({}), str(root)).want({"net.none": "1"}, change=True)


def test_the_record_is_a_private_file_that_goes_when_it_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "mlsysops/host.json"
    with record(path, write=True) as kept:
        kept.add("sysctl", "x", "1", "a", "2")
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text()) == {"sysctl": {"x": {"before": "1", "users": {"a": "2"}}}}
    with record(path, write=False) as kept:
        kept.forget("sysctl", "x")
    assert path.exists()
    with record(path, write=True) as kept:
        assert kept.drop("sysctl", "x", "a")
        kept.forget("sysctl", "x")
    assert not path.parent.exists()


def test_what_was_changed_before_a_failure_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "host.json"

    def fail() -> None:
        with record(path, write=True) as kept:
            kept.add("sysctl", "x", "1", "a", "2")
            raise SettingError("the next one")

    with pytest.raises(SettingError):
        fail()
    assert "x" in path.read_text()


class Machine:
    """What systemctl, apt-get and dpkg-query say and do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, timesyncd: str = "disabled", active: str = "") -> None:
        self.timesyncd, self.active = timesyncd, active
        self.installed = {"bash"}
        self.purged_with: set[str] = set()
        monkeypatch.setattr(mls_settings, "_systemctl", self.systemctl)
        monkeypatch.setattr(mls_settings, "_installed", lambda: set(self.installed))
        monkeypatch.setattr(mls_settings, "_apt", self.apt)

    def systemctl(self, action: str, *words: str, check: bool = False) -> str:
        if action == "is-enabled":
            return self.timesyncd
        if action == "is-active":
            return "active" if words[0] == self.active else "inactive"
        self.timesyncd = {"enable": "enabled", "disable": "disabled"}[action]
        return ""

    def apt(self, *words: str) -> object:
        class Done:
            returncode, stderr, stdout = 0, "", ""

        if words[0] == "install":
            self.installed |= {*words[1:], "libdependency1"}
        elif words[0] == "-s":
            Done.stdout = "".join(f"Purg {name} [1]\n" for name in {*words[2:]} | self.purged_with)
        else:
            self.installed -= {*words[1:]}
        return Done


def test_a_clock_that_nobody_keeps_is_kept_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, kept = Machine(monkeypatch), Record({})
    assert Clock("a", kept).want(change=False) == [Clock.unit]
    assert machine.timesyncd == "disabled"
    assert Clock("a", kept).want(change=True) == [Clock.unit]
    assert Clock("b", kept).want(change=True) == []
    assert machine.timesyncd == "enabled"
    assert Clock("a", kept).release(change=True) == []
    assert machine.timesyncd == "enabled"
    assert Clock("b", kept).release(change=True) == [Clock.unit]
    assert (machine.timesyncd, kept.content) == ("disabled", {})


@pytest.mark.parametrize(
    ("timesyncd", "active"), [("enabled", ""), ("masked", ""), ("", ""), ("disabled", "chrony.service")]
)
def test_a_clock_that_is_kept_or_not_ours_to_keep(monkeypatch: pytest.MonkeyPatch, timesyncd: str, active: str) -> None:
    machine, kept = Machine(monkeypatch, timesyncd, active), Record({})
    assert Clock("a", kept).want(change=True) == []
    assert (machine.timesyncd, kept.content) == (timesyncd, {})


def test_packages_go_with_what_came_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, kept = Machine(monkeypatch), Record({})
    assert Packages("a", kept).want(["bash", "tree"], change=True) == ["tree"]
    assert machine.installed == {"bash", "tree", "libdependency1"}
    assert Packages("a", kept).want(["bash", "tree"], change=True) == []
    assert Packages("a", kept).release(change=True) == ["libdependency1", "tree"]
    assert (machine.installed, kept.content) == ({"bash"}, {})


def test_packages_that_others_need_by_now_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, kept = Machine(monkeypatch), Record({})
    Packages("a", kept).want(["tree"], change=True)
    machine.purged_with = {"of-the-administrator"}
    assert Packages("a", kept).release(change=True) == []
    assert "tree" in machine.installed
