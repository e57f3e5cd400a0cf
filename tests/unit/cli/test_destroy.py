"""What `mls framework destroy-all` says where hosts do not answer."""

from __future__ import annotations

from mlsysops_cli.actions.framework.destroy import judge
from mlsysops_cli.runner import Failure, HostResult, RunResult


def ran(*failures: Failure, hosts: str) -> RunResult:
    away = {failure.host for failure in failures if failure.task == "See whether the host answers"}
    return RunResult(hosts={host: HostResult(unreachable=host in away) for host in hosts}, failures=list(failures))


GONE = Failure("b", "See whether the host answers", "no route", "unreachable", "switch it on")
BROKEN = Failure("a", "Remove the host's files", "read-only file system")


def test_every_host_that_is_left_has_a_line() -> None:
    outcome = judge(ran(BROKEN, GONE, Failure("here", "x", "y"), hosts="ab"), ["a", "b", "c"], {}, abandon=False)
    assert [line.split(": ")[0] for line in outcome.left] == ["a", "b", "c"]
    assert "inventory" in outcome.left[2]
    assert outcome.silent == ["b", "c"]


def test_only_hosts_that_do_not_answer_are_abandoned() -> None:
    outcome = judge(ran(BROKEN, GONE, hosts="ab"), ["a", "b", "c"], {}, abandon=True)
    assert outcome.left == ["a: Remove the host's files: read-only file system"]
    assert outcome.silent == ["b", "c"]


def test_apis_that_do_not_answer_are_abandoned() -> None:
    apis = ["a", "server"]
    silent = [Failure(host, "Remove objects", "refused", "unreachable") for host in apis]
    assert judge(ran(*silent, hosts="ab"), ["a", "b"], apis, abandon=True).left == []
    assert len(judge(ran(*silent, hosts="ab"), ["a", "b"], apis, abandon=False).left) == 2


def test_a_run_that_never_began_is_no_success() -> None:
    result = RunResult(returncode=4, said=["[ERROR]: no inventory"])
    assert "no inventory" in judge(result, ["a"], {}, abandon=True).left[0]
