"""`mls framework fetch-artifacts`: resumed, checked, written down, and one clear line for what cannot be had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlsysops_core.errors import InvalidInput, MlsError, NotFound, PartialFailure, Unreachable
from release_server import ReleaseServer, refusing_proxy

from mlsysops_cli.artifacts import Artifact, Manifest
from mlsysops_cli.artifacts import fetch as fetching
from mlsysops_cli.artifacts.fetch import fetch_artifacts

DATA = bytes(range(256)) * 4096


def nothing(_: str) -> None:
    pass


def artifact(server: ReleaseServer, name: str = "k3s/v1/k3s", sums: str = "sums.txt", sha256: str = "") -> Artifact:
    base = f"{server.url}/{name.rpartition('/')[0]}"
    return Artifact(name, "k3s", f"{server.url}/{name}", sha256, f"{base}/{sums}" if sums else "")


def test_a_file_is_fetched_once_and_vouched_for(server: ReleaseServer, tmp_path: Path) -> None:
    digest = server.publish("k3s/v1/k3s", DATA, sums="sums.txt")
    (first,) = fetch_artifacts(tmp_path / "a", [artifact(server)], nothing)
    assert first.changed
    assert first.trust == "released-list"
    assert (tmp_path / "a/k3s/v1/k3s").read_bytes() == DATA
    known = json.loads((tmp_path / "a/artifacts.json").read_text(encoding="utf-8"))["artifacts"]
    assert known["k3s/v1/k3s"] == {
        "sha256": digest, "size": len(DATA), "url": f"{server.url}/k3s/v1/k3s", "trust": "released-list",
    }  # fmt: skip
    server.asked.clear()
    (second,) = fetch_artifacts(tmp_path / "a", [artifact(server)], nothing)
    assert not second.changed
    assert server.asked == []


def test_a_download_that_breaks_off_goes_on_where_it_stopped(server: ReleaseServer, tmp_path: Path) -> None:
    server.publish("k3s/v1/k3s", DATA, sums="sums.txt")
    server.faults["k3s"] = "truncated"
    fetch_artifacts(tmp_path, [artifact(server)], nothing)
    assert (tmp_path / "k3s/v1/k3s").read_bytes() == DATA
    ranges = [wanted for path, wanted in server.asked if path.endswith("/k3s")]
    assert ranges[0] == ""
    assert all(wanted.startswith("bytes=") for wanted in ranges[1:])
    assert len(ranges) > 1
    assert not list(tmp_path.rglob("*.part"))


def test_one_that_always_breaks_off_has_an_end_and_is_kept_for_the_next_time(
    server: ReleaseServer, tmp_path: Path
) -> None:
    server.publish("k3s/v1/k3s", DATA, sums="sums.txt")
    server.faults["k3s"] = "cut"
    with pytest.raises(Unreachable, match="broke off 5 times"):
        fetch_artifacts(tmp_path, [artifact(server)], nothing)
    assert not (tmp_path / "k3s/v1/k3s").exists()
    del server.faults["k3s"]
    (done,) = fetch_artifacts(tmp_path, [artifact(server)], nothing)
    assert done.changed


def test_a_wrong_checksum_is_never_kept(server: ReleaseServer, tmp_path: Path) -> None:
    server.publish("k3s/v1/k3s", DATA, sums="sums.txt")
    server.faults["k3s"] = "wrong"
    with pytest.raises(InvalidInput, match="has the wrong checksum"):
        fetch_artifacts(tmp_path / "a", [artifact(server)], nothing)
    assert [path.name for path in (tmp_path / "a").rglob("*") if path.is_file()] == [".lock"]


def test_what_the_project_pins_has_the_last_word(server: ReleaseServer, tmp_path: Path) -> None:
    server.publish("k3s/v1/k3s", DATA, sums="sums.txt")  # a mirror that vouches for its own file
    with pytest.raises(InvalidInput, match="wrong checksum"):
        fetch_artifacts(tmp_path, [artifact(server, sha256="0" * 64)], nothing)


def test_the_first_fetch_is_written_down_and_another_file_refused(server: ReleaseServer, tmp_path: Path) -> None:
    server.publish("karmada/v1/crds.tar.gz", DATA)
    wanted = artifact(server, "karmada/v1/crds.tar.gz", sums="")
    said: list[str] = []
    (done,) = fetch_artifacts(tmp_path, [wanted], said.append)
    assert done.trust == "first-use"
    assert any("nobody vouches for karmada/v1/crds.tar.gz" in line for line in said)
    (tmp_path / "karmada/v1/crds.tar.gz").unlink()
    server.publish("karmada/v1/crds.tar.gz", DATA[::-1])
    with pytest.raises(InvalidInput, match="wrong checksum"):
        fetch_artifacts(tmp_path, [wanted], nothing)


def test_what_can_be_had_is_kept_when_something_cannot(server: ReleaseServer, tmp_path: Path) -> None:
    server.publish("k3s/v1/k3s", DATA, sums="sums.txt")
    server.publish("k3s/v1/images", DATA, sums="sums.txt")
    server.faults["images"] = "missing"
    both = [artifact(server), artifact(server, "k3s/v1/images")]
    with pytest.raises(PartialFailure, match=r"1 of 2 artifacts could not be had.*images is not there"):
        fetch_artifacts(tmp_path, both, nothing)
    assert list(Manifest.load(tmp_path).artifacts) == ["k3s/v1/k3s"]
    assert [fault.message for fault in Manifest.load(tmp_path).faults(tmp_path, both)] == ["k3s/v1/images is missing"]


@pytest.mark.parametrize(("fault", "kind", "said"), [
    ("missing", NotFound, "is not there"), ("broken", Unreachable, "HTTP 503"),
])  # fmt: skip
def test_a_server_that_has_it_not_is_named(
    server: ReleaseServer, tmp_path: Path, fault: str, kind: type[MlsError], said: str
) -> None:
    digest = server.publish("k3s/v1/k3s", DATA)
    server.faults["k3s"] = fault  # type: ignore[assignment]
    with pytest.raises(kind, match=said):
        fetch_artifacts(tmp_path, [artifact(server, sums="", sha256=digest)], nothing)


def test_a_server_that_says_nothing_more_is_given_up(
    server: ReleaseServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_TIMEOUT", fetching.httpx.Timeout(0.2))
    digest = server.publish("k3s/v1/k3s", DATA)
    server.faults["k3s"] = "hang"
    with pytest.raises(Unreachable, match="broke off 5 times"):
        fetch_artifacts(tmp_path, [artifact(server, sums="", sha256=digest)], nothing)


def test_a_proxy_that_refuses_is_named(server: ReleaseServer, tmp_path: Path) -> None:
    secure = Artifact("k3s/v1/k3s", "k3s", "https://releases.invalid/k3s/v1/k3s", "0" * 64)
    with refusing_proxy() as proxy, pytest.raises(Unreachable, match=r"the proxy refuses.*403"):
        fetch_artifacts(tmp_path, [secure], nothing, proxy=proxy)


def test_a_damaged_list_is_said_and_not_guessed_around(server: ReleaseServer, tmp_path: Path) -> None:
    (tmp_path / "artifacts.json").write_text("{", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"artifacts.json is damaged"):
        fetch_artifacts(tmp_path, [artifact(server)], nothing)
