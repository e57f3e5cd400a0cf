"""Waits until an application is as the user wants it, and says on stderr what is going on meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from mlsysops_core.errors import MlsError, NotFound, TimedOut, Unreachable

from mlsysops_cli.client.http import Northbound, path_of
from mlsysops_cli.settings import Settings

__all__ = ["wait_until_gone", "wait_until_running"]

_FIRST, _LONGEST = 0.1, 2.0


def wait_until_running(
    api: Northbound, settings: Settings, app_id: str, *, generation: int, timeout: float
) -> Mapping[str, Any]:
    """Return when every component of an application's description runs.

    Raises:
        TimedOut: It does not within `timeout` seconds; the message says what it waits for.
        MlsError: It failed, or was removed meanwhile.
    """

    def done(state: Mapping[str, Any] | None) -> bool:
        if state is None:
            raise NotFound(f"application {app_id!r} was removed meanwhile")
        current = state["phase"] == "Running" and state["observedGeneration"] >= generation
        return bool(current and state["components"]["ready"] >= state["components"]["total"])

    return _wait(api, settings, app_id, done, timeout, "running") or {}


def wait_until_gone(api: Northbound, settings: Settings, app_id: str, *, timeout: float) -> None:
    """Return when no cluster has anything of an application any more.

    Raises:
        TimedOut: It is still there after `timeout` seconds.
    """
    _wait(api, settings, app_id, lambda state: state is None, timeout, "gone")


def _wait(
    api: Northbound,
    settings: Settings,
    app_id: str,
    done: Callable[[Mapping[str, Any] | None], bool],
    timeout: float,
    wanted: str,
) -> Mapping[str, Any] | None:
    started, pause, told = time.monotonic(), _FIRST, ""
    last: MlsError | None = None
    while True:
        text = told
        try:
            state = _state(api, app_id)
            last = None
            if done(state):
                settings.note(f"[{time.monotonic() - started:5.1f}s] {app_id} is {wanted}")
                return state
            text = _line(state)
        except Unreachable as exc:  # an API that restarts while we wait is no reason to give up
            last = exc
            text = "the API does not answer"
        elapsed = time.monotonic() - started
        if text != told:
            told = text
            settings.note(f"[{elapsed:5.1f}s] {app_id}: {text}")
        if elapsed + pause > timeout:
            if last is not None:
                raise last
            hint = f"it goes on; `mls apps explain {app_id}` tells why" if wanted == "running" else "it goes on"
            raise TimedOut(f"application {app_id!r} is not {wanted} after {timeout:g} s: {told}", hint=hint)
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST)


def _state(api: Northbound, app_id: str) -> Mapping[str, Any] | None:
    try:
        state: Mapping[str, Any] = api.get(path_of("v1", "apps", app_id, "status"))
    except NotFound:
        return None
    return state


def _line(state: Mapping[str, Any] | None) -> str:
    if state is None:
        return "gone"
    count = state["components"]
    text = f"{state['phase']}, {count['ready']}/{count['total']} components ready"
    return f"{text}: {state['message']}" if state.get("message") else text
