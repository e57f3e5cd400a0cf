"""Playbooks really run through ansible-runner: results, logs, secrets, interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mlsysops_core.errors import PartialFailure

from mlsysops_cli.runner import PlaybookRun, RunResult, SilentProgress, run_playbook

SECRET = "correct-horse-battery-staple"


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.json"
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    path.write_text(json.dumps({"all": {"hosts": {"one": variables, "two": variables}}}), encoding="utf-8")
    return path


def play(tmp_path: Path, tasks: str) -> Path:
    path = tmp_path / "play.yml"
    path.write_text(f"- name: Play\n  hosts: all\n  gather_facts: false\n  tasks:\n{tasks}", encoding="utf-8")
    return path


def run(tmp_path: Path, inventory: Path, playbook: Path, progress: Any = None, **more: Any) -> RunResult:
    settings = PlaybookRun(
        playbook=playbook,
        inventories=[inventory],
        state=tmp_path / "state",
        logs=tmp_path / "logs",
        local_only=True,
        **more,
    )
    return run_playbook(settings, progress or SilentProgress())


class Recorder(SilentProgress):
    def __init__(self) -> None:
        self.kinds: list[str] = []

    def event(self, event: Mapping[str, Any]) -> None:
        self.kinds.append(str(event["event"]))


def test_results_log_and_nothing_left(tmp_path: Path, inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", SECRET)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # as where nobody activated the environment
    tasks = (
        f"    - name: Write\n      ansible.builtin.copy: {{content: x, dest: '{tmp_path}/{{{{ inventory_hostname }}}}', mode: '600'}}\n"
        f"    - name: Hide\n      ansible.builtin.command: echo {SECRET}\n      no_log: true\n      changed_when: false\n"
    )
    recorder = Recorder()
    first = run(tmp_path, inventory, play(tmp_path, tasks), recorder)
    assert (first.returncode, first.changed) == (0, 2)
    assert first.error() is None
    assert "runner_on_ok" in recorder.kinds
    assert run(tmp_path, inventory, tmp_path / "play.yml").changed == 0
    assert "TASK [Write]" in Path(first.log).read_text(encoding="utf-8")
    assert list((tmp_path / "state").iterdir()) == []
    for path in [*(tmp_path / "logs").rglob("*"), *(tmp_path / "state").rglob("*")]:
        assert SECRET not in path.read_text(encoding="utf-8")
        assert path.stat().st_mode & 0o077 == 0


def test_one_host_fails_and_the_other_goes_on(tmp_path: Path, inventory: Path) -> None:
    tasks = (
        "    - name: Break\n      ansible.builtin.fail: {msg: 'no\n\n          luck'}\n      when: inventory_hostname == 'one'\n"
        "    - name: Go on\n      ansible.builtin.debug: {msg: here}\n"
    )
    result = run(tmp_path, inventory, play(tmp_path, tasks))
    assert result.hosts["two"].ok == 1
    error = result.error()
    assert isinstance(error, PartialFailure)
    assert (error.message, error.details) == ("1 of 2 hosts failed", ("one: Break: no luck",))


def test_a_broken_playbook_says_why(tmp_path: Path, inventory: Path) -> None:
    result = run(tmp_path, inventory, play(tmp_path, "    - name: X\n      no.such.module:\n"))
    assert "no.such.module" in str(result.error())


def test_limit_tags_and_check_pass_through(tmp_path: Path, inventory: Path) -> None:
    tasks = (
        f"    - name: Write\n      ansible.builtin.copy: {{content: x, dest: '{tmp_path}/w', mode: '600'}}\n      tags: [a]\n"
        "    - name: Other\n      ansible.builtin.debug:\n      tags: [b]\n"
    )
    result = run(tmp_path, inventory, play(tmp_path, tasks), limit="one", tags=["a"], check=True)
    assert list(result.hosts) == ["one"]
    assert result.changed == 1
    assert not (tmp_path / "w").exists()


def test_old_logs_go(tmp_path: Path, inventory: Path) -> None:
    (tmp_path / "logs").mkdir()
    for number in range(15):
        (tmp_path / "logs" / f"play-2020010{number:02}.log").touch()
    run(tmp_path, inventory, play(tmp_path, "    - name: X\n      ansible.builtin.debug:\n"))
    assert len(list((tmp_path / "logs").glob("play-*.log"))) == 10


@pytest.mark.parametrize(
    ("number", "times"),
    [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 1), (signal.SIGTERM, 2), (signal.SIGHUP, 1)],
)
def test_interrupting_ends_the_run_and_what_it_started(
    tmp_path: Path, inventory: Path, number: signal.Signals, times: int
) -> None:
    flag = tmp_path / "running"
    seconds = 100_000 + os.getpid()  # so long that nobody waits for its end, and no other's sleep
    tasks = (
        f"    - name: Wait\n      ansible.builtin.command: sh -c 'touch {flag}; exec sleep {seconds}'\n"
        "      changed_when: false\n"
    )
    playbook = play(tmp_path, tasks)

    def press() -> None:
        while not flag.exists() and not over.is_set():
            over.wait(0.05)
        for _ in range(times):
            if not over.is_set():
                os.kill(os.getpid(), number)
            over.wait(0.1)  # two presses of one key, not one signal

    over = threading.Event()
    presser = threading.Thread(target=press)
    presser.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, inventory, playbook)
    finally:
        over.set()
        presser.join()
    deadline = time.monotonic() + 60
    while _sleeping(seconds):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list((tmp_path / "state").iterdir()) == []


RUN = """
import sys
from pathlib import Path
from mlsysops_cli.runner import PlaybookRun, SilentProgress, run_playbook

here = Path(sys.argv[1])
run_playbook(
    PlaybookRun(
        playbook=here / "play.yml", inventories=[here / "hosts.json"], state=here / "state", logs=here / "logs", local_only=True
    ),
    SilentProgress(),
)
"""


def test_a_command_that_is_killed_takes_its_run_along(tmp_path: Path, inventory: Path) -> None:
    seconds = 200_000 + os.getpid()
    daemon = f"{tmp_path}/daemon-{{{{ inventory_hostname }}}}"
    # A module that works, one that sleeps in a session of its own, and what a task made to stay.
    script = (
        f"(setsid sh -c 'echo $$ > {daemon}.new; mv {daemon}.new {daemon}; exec sleep 1800' < /dev/null > /dev/null 2>&1 &) ; "
        f"while [ ! -e {daemon} ]; do :; done; touch {tmp_path}/{{{{ inventory_hostname }}}}; setsid -w sleep {seconds}"
    )
    play(tmp_path, f'    - name: Wait\n      ansible.builtin.shell: "{script}"\n      changed_when: false\n')
    command = subprocess.Popen(
        # As below nohup, cron or CI, which have SIGHUP ignored.
        ["sh", "-c", 'trap "" HUP; exec "$0" -c "$1" "$2"', sys.executable, RUN, str(tmp_path)],
        stdin=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    try:
        while not all((tmp_path / name).exists() for name in ("one", "two")):
            assert command.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert _sleeping(seconds)
        assert _of(tmp_path)
    finally:
        command.kill()
        command.wait()
    deadline = time.monotonic() + 60
    while _sleeping(seconds) or _of(tmp_path):
        assert time.monotonic() < deadline, _of(tmp_path)
        time.sleep(0.05)
    for name in ("one", "two"):
        os.kill(int((tmp_path / f"daemon-{name}").read_text()), signal.SIGKILL)  # it is there


def _of(directory: Path) -> list[list[str]]:
    """Command lines of processes that run a play below a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if any("ansible" in word for word in words) and any(str(directory) in word for word in words):
                found.append(words)
    return found


def _sleeping(seconds: int) -> bool:
    return subprocess.run(["pgrep", "-f", f"^sleep {seconds}$"], capture_output=True, check=False).returncode == 0
