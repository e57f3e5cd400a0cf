"""Runs the program for credentials that a kubeconfig names, for so long and no longer.

The protocol is that of client-go's credential plugins (``client.authentication.k8s.io/v1`` and ``v1beta1``,
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins). Nobody sits in front of
most of our runs, so that a program which has to ask somebody is told that there is nobody, and is not waited for.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
from typing import Any

__all__ = ["SECONDS", "LoginError", "log_in"]

#: Seconds that it gets; those of cloud providers take a few. Neither it nor what it started is left afterwards.
SECONDS = 30.0
_CONFIG = "client.authentication.k8s.io/exec"
_BY_HAND = "run it by hand once, or log in again"
#: What of a kubeconfig's cluster the program learns where it wants to (``provideClusterInfo``).
_CLUSTER = (
    "server",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "certificate-authority-data",
    "proxy-url",
    "disable-compression",
)


class LoginError(Exception):
    """The program gave no credentials."""


def log_in(program: dict[str, Any], *, directory: str, cluster: dict[str, Any]) -> dict[str, str]:
    """Return what a kubeconfig's user would be with the credentials that a program gives: a token, a certificate, or both.

    Args:
        program: Member ``exec`` of the user.
        directory: The kubeconfig's, to which its command may be relative.
        cluster: The cluster of the same context.

    Raises:
        LoginError: It gives none, or none in time.
    """
    for key in ("command", "apiVersion"):
        if not program.get(key):
            raise LoginError(f"exec has no {key}")
    command = str(program["command"])
    if program.get("interactiveMode") == "Always":
        raise LoginError(f"the program {command} wants to ask somebody, and nobody is there: name another user")
    spec: dict[str, Any] = {"interactive": False}
    if program.get("provideClusterInfo"):
        spec["cluster"] = _told(cluster)
    asked = {"apiVersion": program["apiVersion"], "kind": "ExecCredential", "spec": spec}
    environment = {**os.environ, **{str(one["name"]): str(one["value"]) for one in program.get("env") or []}}
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(asked)
    output = _run([command, *map(str, program.get("args") or [])], directory, environment)
    return _user(command, str(program["apiVersion"]), output)


def _run(argv: list[str], directory: str, environment: dict[str, str]) -> bytes:
    try:
        # A session of its own: whatever it starts can be ended with it.
        child = subprocess.Popen(
            argv, cwd=directory or None, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    except OSError as exc:
        raise LoginError(f"the program {argv[0]} cannot be run: {exc.strerror or exc}") from exc
    try:
        output, errors = child.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired as exc:
        said = _last_line(exc.stderr or b"")
        raise LoginError(f"the program {argv[0]} gave none within {SECONDS:.0f} s{said}; {_BY_HAND}") from exc
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        with child:  # closes its pipes and waits for it
            pass
    if child.returncode:
        raise LoginError(f"the program {argv[0]} ended with status {child.returncode}{_last_line(errors)}")
    return output


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return f": {' '.join(lines[-1].split())[:120]}" if lines else ""


def _user(command: str, version: str, output: bytes) -> dict[str, str]:
    """Read an ``ExecCredential``; what is in it is shown to nobody."""
    try:
        answer = json.loads(output)
        status, answered = answer["status"], answer["apiVersion"]
    except (ValueError, TypeError, KeyError) as exc:
        raise LoginError(f"the program {command} answered with something that is no ExecCredential") from exc
    if answered != version:
        raise LoginError(f"the program {command} answered with {answered}, and {version} was asked for")
    user = {"token": str(status["token"])} if isinstance(status, dict) and status.get("token") else {}
    pair = ("clientCertificateData", "clientKeyData")
    if isinstance(status, dict) and all(status.get(key) for key in pair):
        for key, member in zip(pair, ("client-certificate-data", "client-key-data"), strict=True):
            user[member] = base64.b64encode(str(status[key]).encode()).decode()
    if not user:
        raise LoginError(f"the program {command} answered with neither a token nor a certificate with its key")
    return user


def _told(cluster: dict[str, Any]) -> dict[str, Any]:
    told = {key: cluster[key] for key in _CLUSTER if cluster.get(key) is not None}
    for extension in cluster.get("extensions") or []:
        if extension.get("name") == _CONFIG:
            told["config"] = extension.get("extension")
    return told
