"""A server of Incus or LXD in this process, behind their client program: it answers as real ones were seen to.

The shapes of its answers are recordings (`tests/data/incus`) of Incus 6.0.4 and LXD 5.0.2, as are the errors.
"""

from __future__ import annotations

import copy
import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mlsysops_cli.testbed import model
from mlsysops_cli.testbed.incus import backend, client, remotes

RECORDINGS = Path(__file__).parents[2] / "data" / "incus"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKD3uXhIyqR1P"
RUNNING, STOPPED = 103, 102
OPTIONS_WITH_VALUE = {"--request", "--data", "--project", "--profile", "--format"}


class Said(Exception):
    """What the client says on standard error, before it ends with status 1."""


class Server:
    """One server with one project, and the client that reaches it.

    Attributes:
        name: Of the client program.
        instances: What the server has, by name.
        calls: What was asked of it: method and path, or the client's other commands.
        scripts: What was run in which instance.
        busy: How many answers say that an instance is still being made.
        hooks: Called with what is asked, before it is answered; may raise `Said`.
    """

    def __init__(self, recording: str) -> None:
        self.answers = json.loads((RECORDINGS / f"{recording}.json").read_text(encoding="utf-8"))
        self.name = "incus" if recording.startswith("incus") else "lxc"
        self.instances: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.scripts: list[tuple[str, str]] = []
        self.busy = 0
        self.hooks: list[Callable[[str], None]] = []
        self._lock = threading.Lock()

    def run(self, *argv: str, text: str | None = None, **_: Any) -> subprocess.CompletedProcess[str]:
        words = list(argv[argv.index(self.name) + 1 :])
        options: dict[str, str] = {}
        rest = []
        while words:
            word = words.pop(0)
            if word == "--":
                rest += words
                break
            if word.startswith("--"):
                options[word] = words.pop(0) if word in OPTIONS_WITH_VALUE else ""
            else:
                rest.append(word)
        with self._lock:
            try:
                answer = self._answer(rest, options, text or "")
            except Said as said:
                return subprocess.CompletedProcess(argv, 1, "", f"If this is your first time…\nError: {said}\n")
        return subprocess.CompletedProcess(argv, 0, answer, "")

    def _answer(self, rest: list[str], options: dict[str, str], text: str) -> str:
        if rest[:2] == ["remote", "list"]:
            return json.dumps(self.answers["remotes"])
        if rest[:2] == ["remote", "get-default"]:
            return "local\n"
        if rest[0] == "query":
            remote, _, address = rest[1].partition(":")
            assert remote == "local"
            method, path = options.get("--request", "GET"), urlsplit(address).path.removeprefix("/1.0")
            self._note(f"{method} {path}")
            if path.startswith("/instances"):
                assert parse_qs(urlsplit(address).query)["project"] == ["default"]
            answer = self._query(method, path.strip("/").split("/"), json.loads(options.get("--data", "null")))
            # Of an empty object the client says nothing (seen with both).
            return "\n" if answer in (None, {}) else json.dumps(answer, indent=1)
        self._note(" ".join(rest[:2]))
        if rest[0] == "init":
            return self._init(rest[1], rest[2], json.loads(text))
        assert rest[0] == "exec"
        name = rest[1].removeprefix("local:")
        if self._find(name)["status_code"] != RUNNING:
            raise Said("Instance is not running")
        self.scripts.append((name, text))
        return f"{KEY}{name} root@{name}\n" if text.startswith("cat ") else ""

    def _note(self, call: str) -> None:
        self.calls.append(call)
        for hook in self.hooks:
            hook(call)

    def _query(self, method: str, path: list[str], body: Any) -> Any:
        if path == [""]:
            return self.answers["server"]
        if path[0] == "projects":
            return {"name": path[1]} if path[1] == "default" else self.refuse("Project not found")
        if path[0] == "profiles":
            return self.answers["profile"] if path[1] == "default" else self.refuse("Fetch profile: Profile not found")
        if path[0] == "networks":
            return self.answers["network"]
        if path[0] == "operations":
            return self._operations()
        if path == ["instances"]:
            return list(self.instances.values())
        return self._instance(method, self._find(path[1]), path[2:], body)

    def _operations(self) -> dict[str, Any]:
        if self.busy == 0:
            return {}
        self.busy -= 1
        operation = copy.deepcopy(json.loads((RECORDINGS / "incus-6.0.4.json").read_text())["operations"])
        names = list(self.instances) or ["other"]
        operation["running"][0]["resources"]["instances"] = [f"/1.0/instances/{names[0]}"]
        return dict(operation)

    def _instance(self, method: str, instance: dict[str, Any], path: list[str], body: Any) -> Any:
        if method == "DELETE":
            if instance["status_code"] == RUNNING:
                raise Said("Instance is running")
            del self.instances[instance["name"]]
        elif method == "PATCH":
            instance["devices"] |= body["devices"]
            instance["config"] |= body.get("config", {})
        elif path == ["state"]:
            if (body["action"] == "stop") == (instance["status_code"] == STOPPED):
                raise Said(f"The instance is already {'stopped' if body['action'] == 'stop' else 'running'}")
            self._switch(instance, on=body["action"] == "start")
        return None

    def _init(self, image: str, address: str, document: dict[str, Any]) -> str:
        name = address.removeprefix("local:")
        if image != "local:debian12":
            raise Said("Image not found")
        if name in self.instances:
            raise Said('Failed creating instance record: This "instances" entry already exists')
        instance = copy.deepcopy(self.answers["instance"])
        volatile = {key: value for key, value in instance["config"].items() if key.startswith("volatile.")}
        instance |= {"name": name, "config": volatile | document["config"], "devices": document["devices"]}
        self.instances[name] = instance
        self._switch(instance, on=False)
        return ""

    def _switch(self, instance: dict[str, Any], *, on: bool) -> None:
        instance["status"], instance["status_code"] = ("Running", RUNNING) if on else ("Stopped", STOPPED)
        instance["state"] = copy.deepcopy(self.answers["instance"]["state"])
        interface = instance["state"]["network"]["eth0"]
        interface["hwaddr"] = instance["devices"]["eth0"].get("hwaddr", "")
        if on:
            number = 100 + sorted(self.instances).index(instance["name"])
            interface["addresses"][0]["address"] = f"10.79.0.{number}"
        else:
            instance["state"]["network"] = None

    def _find(self, name: str) -> dict[str, Any]:
        return self.instances[name] if name in self.instances else self.refuse("Instance not found")

    def refuse(self, said: str) -> Any:
        raise Said(said)


@pytest.fixture(params=["incus-6.0.4", "lxd-5.0.2"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server(request.param)
    for module in (client, remotes):
        monkeypatch.setattr(module, "run", found.run)
        monkeypatch.setattr(module, "which", lambda program: program if program in {found.name, "setpriv"} else None)
    monkeypatch.setattr(backend, "which", lambda program: program)
    monkeypatch.setattr(backend, "answers", lambda _: True)
    for variable in ("INCUS_PROJECT", "LXD_PROJECT", "INCUS_REMOTE", "LXD_REMOTE"):
        monkeypatch.delenv(variable, raising=False)
    return found


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> model.Testbed:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return model.Testbed.here()
