"""Context files."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from mlsysops_core.errors import InvalidInput, NotFound, Refused

from mlsysops_cli.client.address import resolve
from mlsysops_cli.context import (
    Api,
    ClusterAccess,
    Context,
    config_dir,
    current_context_name,
    delete_context,
    list_contexts,
    load_context,
    save_context,
    use_context,
)

FARM = Context(
    name="farm",
    api=Api("https://farm.example:8000", "secret-token", "/ca.crt"),
    kubeconfig="/k",
    clusters={"c1": ClusterAccess("/k1")},
    slice_dir="/s",
    engine="k3s",
)


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLS_CONFIG", str(tmp_path / "config"))


def test_what_is_saved_is_loaded_and_only_its_owner_can_read_it() -> None:
    path = save_context(FARM)
    assert load_context("farm") == FARM == load_context()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "secret-token" not in repr(FARM)
    assert [item.name for item in path.parent.iterdir()] == ["farm.json"], "a temporary file was left"


def test_which_context_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_context_name() is None
    save_context(FARM, current=False)
    assert current_context_name() == "farm"
    save_context(Context("local", Api("http://127.20.0.10:8000")), current=False)
    assert current_context_name() is None
    with pytest.raises(NotFound, match="farm, local"):
        load_context()
    use_context("local")
    assert load_context().name == "local"
    monkeypatch.setenv("MLS_CONTEXT", "farm")
    assert load_context().name == "farm"
    assert load_context("local").name == "local"
    assert list_contexts() == ["farm", "local"]


def test_deleting_the_last_one_leaves_no_trace() -> None:
    save_context(FARM)
    assert delete_context("farm")
    assert not delete_context("farm")
    assert not config_dir().exists()


def test_members_of_a_newer_version_are_ignored() -> None:
    path = save_context(FARM)
    value = json.loads(path.read_text())
    value["newer"] = value["api"]["newer"] = 1
    path.write_text(json.dumps(value))
    assert load_context("farm") == FARM


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "farm"}', '{"name": "farm", "api": 5}', "\x00"])
def test_a_file_that_is_no_context_is_named(text: str) -> None:
    path = save_context(FARM)
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"farm\.json"):
        load_context("farm")


def test_names_cannot_leave_the_directory() -> None:
    for name in ("../x", "a/b", "", ".", "UPPER", "a" * 300):
        with pytest.raises(InvalidInput):
            save_context(Context(name, Api("http://127.0.0.1:1")))


def test_the_address_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(FARM).url == "https://farm.example:8000"
    assert resolve(FARM).ca_file == "/ca.crt"
    monkeypatch.setenv("MLS_API_PORT", "9000")
    assert resolve(FARM).url == "https://farm.example:9000"
    monkeypatch.setenv("MLS_API_IP", "2001:db8::1")
    assert resolve(FARM).url == "https://[2001:db8::1]:9000"
    monkeypatch.delenv("MLS_API_PORT")
    monkeypatch.setenv("MLS_API_IP", "127.0.0.5")
    assert resolve(None).url == "http://127.0.0.5:8000"
    monkeypatch.setenv("MLS_API_IP", "10.0.0.5")
    assert resolve(None).url == "https://10.0.0.5:8000"
    with pytest.raises(Refused):
        resolve(Context("plain", Api("http://10.0.0.5:8000", "token")))
