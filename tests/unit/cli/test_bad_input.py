"""Bad input: each is told in one line, with the exit code of its family, and nothing is done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)


def _file(mls: Any, content: str | bytes) -> list[str]:
    return ["apps", "deploy-app", "--path", mls.file("x.yaml", content)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\n# nothing\n", "empty"),
        (b"\xff\xfe\x00broken", "utf-8"),
        (b"a: [1, 2\n", "x.yaml:"),
        (b"MLSysOpsAp: {}\n", "MLSysOpsAp"),
        (b"- 1\n", "no description"),
        (BOMB.encode(), "x.yaml:"),
        (b"MLSysOpsApp: {name: x}\n" + b"#" * (10 * 1024 * 1024), "MiB"),
        (b"MLSysOpsCluster: {name: c, cluster_id: c, nodes: [n1]}\n", "not an application"),
    ],
    ids=["empty", "comment only", "not UTF-8", "broken YAML", "unknown kind", "a list", "bomb", "10 MB", "a cluster"],
)
def test_a_file_that_is_no_application(mls: Any, content: bytes, words: str) -> None:
    result = mls(*_file(mls, content))
    assert (result.code, result.out) == (3, "")
    assert len(result.errors) == len(result.err.splitlines()) == 1
    assert words in result.errors[0].replace("UTF-8", "utf-8")
    assert not mls.transport.requests, "it was sent all the same"


def test_faults_of_a_description_come_all_at_once_each_with_line_and_column(mls: Any, app_yaml: str) -> None:
    text = (
        app_yaml.replace("qos_metrics", "qos_metric")
        .replace("name: cart", "name: web")
        .replace("target: 20", "target: x")
    )
    path = mls.file("x.yaml", text)
    result = mls("apps", "deploy-app", "--path", path)
    assert result.code == 3
    assert len(result.errors) >= 2
    assert result.errors[-1].endswith("faults found")
    for line in result.errors[:-1]:
        place = line.removeprefix(f"error: {path}:").split(":")
        assert int(place[0]) > 0, line
        assert int(place[1]) > 0, line
    assert any("did you mean" in line and "qos_metrics" in line for line in result.errors)


def test_a_missing_file(mls: Any) -> None:
    result = mls("apps", "deploy-app", "--path", "/nonexistent/app.yaml")
    assert result.code == 3
    assert result.errors == ["error: /nonexistent/app.yaml: no such file or directory (check --path)"]
    directory = mls("apps", "deploy-app", "--path", str(mls.directory))
    assert directory.code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["apps", "deploy-app"],
        ["apps", "deploy-app", "--path", "a", "--uri", "b"],
        ["apps", "deploy-app", "--uri", "ftp://x"],
        ["apps", "deploy-app", "--path", "a", "--dry-run=maybe"],
        ["apps", "get-app-status"],
        ["apps", "get-app-status", "a", "b"],
        ["apps", "list-all", "--unknown"],
        ["apps", "list-all", "-o", "xml"],
        ["apps", "list-all", "-o", "jsonpath={.items[*"],
        ["apps", "lst-all"],
        ["app", "list-all"],
        ["manage", "set-mode", "--mode", "2"],
        ["manage", "set-mode"],
        ["manage", "set-system-target", "--metric", "energy", "--target", "much"],
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(mls: Any, arguments: list[str]) -> None:
    result = mls(*arguments)
    assert (result.code, result.out) == (2, ""), result
    assert len(result.errors) == len(result.err.splitlines()) == 1


def test_a_misspelt_command_names_the_right_one(mls: Any) -> None:
    assert "did you mean 'apps'" in mls("app", "list-all").err
    assert "list-all" in mls("apps", "lst-all").err


@pytest.mark.parametrize("verb", ["get-app-status", "get-app-details", "get-app-performance", "explain", "remove-app"])
def test_an_unknown_id(mls: Any, verb: str) -> None:
    result = mls("apps", verb, "no/such app")
    assert result.code == 6
    assert len(result.errors) == len(result.err.splitlines()) == 1


def test_a_wrong_token(mls: Any) -> None:
    from dataclasses import replace

    from mlsysops_cli.context import Api, load_context, save_context

    save_context(replace(load_context(), api=Api("http://127.20.0.10:8000", "another-token-altogether")))
    result = mls("apps", "list-all")
    assert result.code == 5
    assert result.errors[0].startswith("error: the bearer token is wrong")
    assert "another-token" not in result.err + mls("context", "show").out


def test_the_api_is_down(mls: Any) -> None:
    mls.transport.failures = [httpx.ConnectError("[Errno 111] Connection refused")]
    result = mls("apps", "list-all")
    assert result.code == 4
    expected = "error: the northbound API at http://127.20.0.10:8000 does not answer: connection refused"
    assert result.errors[0].startswith(expected)
    assert "mls framework status" in result.errors[0]


def test_a_dropped_connection_is_tried_again_and_has_one_effect(mls: Any, app_yaml: str) -> None:
    mls.transport.failures = [httpx.ReadError("reset"), httpx.ReadError("reset")]
    result = mls(*_file(mls, app_yaml))
    assert (result.code, result.out) == (0, "application/shop created\n")
    assert len({request.headers["idempotency-key"] for request in mls.transport.requests}) == 1
    mls.transport.failures = [httpx.ReadTimeout("slow")] * 3
    assert mls("apps", "list-all").code == 8


def test_the_continuum_is_away(mls: Any) -> None:
    from mlsysops_core.errors import Unreachable

    mls.store.failure = Unreachable("the continuum's API does not answer")
    result = mls("apps", "list-all")
    assert (result.code, len(mls.transport.requests)) == (4, 3)
    assert len(result.errors) == len(result.err.splitlines()) == 1


def test_something_else_answers(mls: Any) -> None:
    mls.transport.failures = [httpx.Response(404, text="<html>nginx</html>")]
    result = mls("apps", "list-all")
    assert result.code == 6
    assert "not as a northbound API does" in result.errors[0]


def test_no_context(mls: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLS_CONFIG", str(tmp_path / "elsewhere"))
    result = mls("apps", "list-all")
    assert result.code == 6
    assert "mls framework deploy-all" in result.errors[0]
    assert mls("--context", "nope", "apps", "list-all").code == 6
    assert not (tmp_path / "elsewhere").exists(), "a look-up must not leave anything behind"


def test_the_environment_names_the_address(mls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLS_API_IP", "127.0.0.9")
    monkeypatch.setenv("MLS_API_PORT", "9999")
    mls("apps", "list-all")
    assert str(mls.transport.requests[0].url).startswith("http://127.0.0.9:9999/v1/apps")
    monkeypatch.setenv("MLS_API_IP", "192.0.2.1")
    refused = mls("apps", "list-all")
    assert refused.code == 5
    assert "clear text" in refused.errors[0]
    monkeypatch.setenv("MLS_API_PORT", "http")
    assert mls("apps", "list-all").code == 2


def test_what_this_version_cannot_do_is_refused(mls: Any) -> None:
    for arguments in (
        ["ml", "list-all"],
        ["ml", "get-status", "x"],
        ["ml", "remove-ml", "x"],
        ["manage", "config-trust"],
    ):
        result = mls(*arguments)
        assert result.code == 5, arguments
        assert "0.1.0" in result.errors[0]
        assert len(result.err.splitlines()) == 1


def test_an_error_of_ours_is_one_line_and_debug_adds_the_traceback(mls: Any) -> None:
    mls.transport.failures = [RuntimeError("boom")] * 2
    result = mls("apps", "list-all")
    assert (result.code, len(result.err.splitlines())) == (70, 1)
    assert "Traceback" in mls("apps", "list-all", "--debug").err


def test_interrupts_and_closed_pipes_are_quiet(mls: Any) -> None:
    mls.transport.before = lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    result = mls("apps", "list-all")
    assert (result.code, result.err) == (130, "")
    mls.transport.before = lambda _: (_ for _ in ()).throw(BrokenPipeError)
    result = mls("apps", "list-all")
    assert (result.code, result.err) == (141, "")


def test_a_broken_context_file_is_named(mls: Any) -> None:
    path = Path(os.environ["MLS_CONFIG"]) / "contexts" / "local.json"
    path.write_text("{")
    result = mls("apps", "list-all")
    assert result.code == 3
    assert str(path) in result.errors[0]


@pytest.mark.parametrize("name", ["", "a/b", "..", "."])
@pytest.mark.parametrize(
    "words", [("apps", "get-app-status"), ("apps", "remove-app"), ("infra", "unregister-infra"), ("apps", "explain")]
)
def test_a_name_that_could_only_be_a_path_names_nothing(mls: Any, words: tuple[str, ...], name: str) -> None:
    result = mls(*words, name)
    assert result.code == 6
    assert result.errors == [f"error: {name!r} is no name of anything (`list-all` and `list` show the names there are)"]
    assert not mls.transport.requests


def test_what_is_missing_is_called_as_the_command_calls_it(mls: Any) -> None:
    for words in (("set-policy", "--agent", "cluster"), ("set-config", "--agent", "all")):
        result = mls("agent", *words, "--file", "/nowhere/policy-x.py")
        assert (result.code, result.errors[0].rpartition(" (")[2]) == (3, "check --file)")
    assert "(check --path)" in mls("apps", "deploy-app", "--path", "/nowhere").err
    assert "(check --uri)" in mls("apps", "deploy-app", "--uri", "file:///nowhere").err


def test_settings_of_agents_are_checked_with_line_and_column_before_they_are_sent(mls: Any) -> None:
    path = mls.file("quiet.yaml", "log_level: LOUD\npolicies:\n  calm: {enabld: false}\n")
    result = mls("agent", "set-config", "--agent", "cluster", "--file", path)
    assert result.code == 3
    assert result.errors == [
        f"error: {path}:1:12: log_level: 'LOUD' is not one of DEBUG, INFO, WARNING, ERROR",
        f"error: {path}:3:10: policies.calm.enabld: unknown key 'enabld' (did you mean 'enabled'?)",
        "error: 2 faults found",
    ]
    assert not mls.transport.requests


def test_a_policy_that_does_not_load_is_no_fault_of_ours(mls: Any) -> None:
    path = mls.file("policy-torn.py", "def initialize(:\n")
    result = mls("agent", "test-policy", path, "--scenario", mls.file("s.yaml", "duration: 1s\n"))
    assert (result.code, len(result.errors)) == (3, 1)
    assert "SyntaxError" in result.errors[0]


def test_without_a_terminal_no_editor_is_started_that_needs_one(
    mls: Any, app_yaml: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mls("apps", "deploy-app", "--path", mls.file("x.yaml", app_yaml))
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    result = mls("apps", "edit", "shop")
    assert (result.code, result.errors[0].startswith("error: an editor needs a terminal (set EDITOR")) == (2, True)


@pytest.mark.parametrize("option", ["--tags", "--vault-password-file"])
def test_parts_and_files_of_a_deployment_that_are_not_there(mls: Any, option: str) -> None:
    inventory = Path(__file__).parents[3] / "inventories" / "local.yml"
    result = mls("framework", "deploy-all", "--inventory", str(inventory), option, "nothing")
    expected = {
        "--tags": (
            2,
            "--tags: no part is called nothing (parts: controlplane, nodes, agents, services, ready, far_edge)",
        ),
        "--vault-password-file": (3, "nothing: no such file (check --vault-password-file)"),
    }
    assert (result.code, result.errors[-1].removeprefix("error: ")) == expected[option]
