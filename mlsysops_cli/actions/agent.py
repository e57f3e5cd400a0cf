"""What the commands of `mls agent` do."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlsysops_core.errors import Conflict, InvalidInput, TimedOut, UsageError
from mlsysops_core.model.agents import AgentSettings
from mlsysops_core.yaml import load_yaml

from mlsysops_cli.actions.signing import name_of, read_signature
from mlsysops_cli.client.http import Northbound, path_of
from mlsysops_cli.client.session import connect
from mlsysops_cli.output import Column, Table, emit, emit_document, render_table
from mlsysops_cli.settings import Settings
from mlsysops_cli.sources import read_source

__all__ = ["delete", "list_config", "list_policies", "new_plugin", "send", "test_policy"]

_POLICIES = Table(
    kind="policy",
    items="agents",
    columns=(
        Column("TIER", "tier"),
        Column("AGENT", "agent"),
        Column("POLICY", "name"),
        Column("STATE", "state"),
        Column("SOURCE", "source"),
        Column("REVISION", lambda row: row.get("revision") or None),
        Column("VERSION", lambda row: str(row.get("version") or "")[:19]),
        Column("MESSAGE", "message"),
        Column("TARGET", "target", wide=True),
    ),
    empty="no agent has reported a policy yet",
)
_SENT = Table(
    kind="config",
    columns=(
        Column("NAME", "name"),
        Column("TARGET", "target"),
        Column("REVISION", "revision"),
        Column("KEPT", lambda row: ", ".join(str(item["revision"]) for item in row.get("revisions") or ())),
        Column("DIGEST", lambda row: str(row.get("digest") or "")[:19]),
    ),
    empty="nothing was sent: `mls agent set-config --agent T --file F`",
)


def send(
    settings: Settings,
    kind: str,
    agent: str,
    file: str | None,
    *,
    name: str | None,
    revision: int,
    signature: str | None,
    dry_run: bool,
    wait: float | None,
) -> None:
    """Send a policy or settings, or bring back a revision, and wait until the agents have taken it (`wait`: seconds)."""
    if bool(file) == bool(revision):
        raise UsageError("give either --file FILE or --revision N", hint="--revision brings back an earlier version")
    text = ""
    if file:
        data, source = read_source(file, None, settings, option="--file")
        try:
            text = data.decode()
        except UnicodeDecodeError as exc:
            raise InvalidInput(f"{source}: not UTF-8: {exc.reason} at byte {exc.start}") from exc
        if kind == "config":
            AgentSettings.of(load_yaml(data, source))  # here, so that faults carry line and column of the file
        name = name or name_of(kind, file)
    if not name:
        raise UsageError("--name NAME is needed", hint="a file called policy-<name>.py gives it, too")
    value: dict[str, Any] = {"target": agent, "text": text, "revision": revision}
    if kind == "policy" and (signed := read_signature(file, signature)):
        value["signature"] = signed
    body = json.dumps(value).encode()
    noun = "policies" if kind == "policy" else "config"
    with connect(settings) as api:
        result = api.send(
            "PUT",
            path_of("v1", "agents", noun, name),
            body,
            media_type="application/json",
            dryRun="server" if dry_run else "",
        )
        dry = " (server dry run)" if result["dryRun"] else ""
        text = f"{kind}/{name} {result['action']}, revision {result['revision']} for {result['target']}{dry}\n"
        emit_document(settings, result, kind=kind, text=text)
        if kind == "policy" and wait is not None and not dry_run:
            _wait(api, settings, name, result, wait)


def delete(settings: Settings, kind: str, agent: str, name: str, *, dry_run: bool) -> None:
    """Take back what was sent; a name that ends as a file does is that of the file."""
    noun = "policies" if kind == "policy" else "config"
    if Path(name).suffix in (".py", ".yaml", ".yml"):
        name = name_of(kind, name) or name
    with connect(settings) as api:
        result = api.send(
            "DELETE", path_of("v1", "agents", noun, name), target=agent, dryRun="server" if dry_run else ""
        )
    dry = " (server dry run)" if result["dryRun"] else ""
    emit_document(settings, result, kind=kind, text=f"{kind}/{name} deleted for {result['target']}{dry}\n")


def list_policies(settings: Settings, agent: str | None) -> None:
    """Print the policies of running agents."""
    with connect(settings) as api:
        answer = api.get("/v1/agents/policies", target=agent or "")
    emit(settings, answer, _POLICIES)
    told = {(item["name"], item.get("target")) for item in answer["agents"]}
    for item in answer["items"]:
        if (item["name"], item["target"]) not in told:
            settings.note(f"policy {item['name']} for {item['target']} was sent; no agent has reported it yet")


def list_config(settings: Settings, agent: str | None) -> None:
    """Print the settings that were sent to agents."""
    with connect(settings) as api:
        emit(settings, api.get("/v1/agents/config", target=agent or ""), _SENT)


def test_policy(settings: Settings, file: str, scenario: str, *, all_turns: bool, timeout: float) -> bool:
    """Replay a scenario through a policy and print what it decides; return whether it never failed."""
    from mlsysops_core.plugins.replay import Scenario

    from mlsysops_cli.actions.rehearse import rehearse

    path = Path(file)
    if not path.is_file():
        raise InvalidInput(f"{file}: no such file")
    data, source = read_source(scenario, None, settings, option="--scenario")
    read = Scenario.from_value(load_yaml(data, source).value)
    name, turns = rehearse(path, read, timeout=timeout)
    shown = [turn for turn in turns if all_turns or turn["verdict"] != "no-change"]
    answer = {"policy": name, "turns": len(turns), "decisions": shown}
    emit_document(settings, answer, kind="policy", name="policy", text=_replayed(answer))
    return all(turn["verdict"] != "error" for turn in turns)


def new_plugin(settings: Settings, kind: str, name: str, directory: str) -> None:
    """Write the skeleton of a plug-in and its test."""
    from mlsysops_cli.skeletons import skeleton

    root = Path(directory)
    files = skeleton(kind, name)
    for file in files:
        if (root / file).exists():
            raise Conflict(f"{root / file} exists already", hint="choose another name or --dir")
    try:
        root.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (root / file).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise InvalidInput(f"{root}: {exc.strerror or exc}") from exc
    answer = {"name": name, "files": [str(root / file) for file in files]}
    emit_document(settings, answer, kind=kind, text="".join(f"{file}\n" for file in answer["files"]))
    if kind == "policy":
        settings.note(
            f"try it: mls agent test-policy {root / f'policy-{name}.py'} --scenario {root / f'scenario-{name}.yaml'}"
        )


def _wait(api: Northbound, settings: Settings, name: str, result: Mapping[str, Any], timeout: float) -> None:
    """Return when every agent that reports this policy has taken the revision.

    Raises:
        InvalidInput: An agent cannot, and says why; what it ran before goes on.
        TimedOut: None, or not all, within the time.
    """
    end, pause = time.monotonic() + timeout, 0.1
    settings.note(f"waiting for the agents of {result['target']}")
    while True:
        answer = api.get("/v1/agents/policies")
        mine = [item for item in answer["agents"] if item["name"] == name and item.get("target") == result["target"]]
        told = [item for item in mine if item.get("wantedRevision") == result["revision"]]
        bad = [item for item in told if item["state"] in {"Failed", "Refused"}]
        if bad:
            raise InvalidInput(
                f"{bad[0]['tier']} agent {bad[0]['agent']} does not take policy {name}: {bad[0]['message']}",
                hint="what it ran before goes on; `mls agent set-policy --revision N` brings an earlier version back",
            )
        if told and len(told) == len(mine) and all(item.get("revision") == result["revision"] for item in told):
            for item in told:
                state = "" if item["state"] == "Running" else f" ({item['state']}: {item['message']})"
                settings.note(f"{item['tier']} agent {item['agent']} has revision {item['revision']}{state}")
            return
        if time.monotonic() >= end:
            raise TimedOut(
                f"not every agent of {result['target']} reported policy {name} within {timeout:g} s",
                hint="agents that are offline take it when they return: `mls agent list-policies`",
            )
        time.sleep(pause)
        pause = min(1.0, pause * 1.5)


def _replayed(answer: Mapping[str, Any]) -> str:
    turns = "1 turn" if answer["turns"] == 1 else f"{answer['turns']} turns"
    head = f"{answer['policy']}: {turns}, {len(answer['decisions'])} of them told here\n"
    rows = [
        [
            f"{item['time']:.1f}",
            item["asset"],
            item["trigger"],
            item["verdict"],
            json.dumps(item["plan"], sort_keys=True) if item["plan"] else "",
            item["message"],
        ]
        for item in answer["decisions"]
    ]
    titles = ["TIME", "ASSET", "TRIGGER", "VERDICT", "PLAN", "MESSAGE"]
    return head + (render_table(titles, rows) if rows else "")
