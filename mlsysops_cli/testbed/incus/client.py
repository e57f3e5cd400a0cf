"""The server's API, asked by its own client program: it has the remotes, the certificates and the trust already.

Everything is said in JSON: requests with ``query``, which sends them as they are; programs in a host with ``exec``; and
``init``, which knows how an image gets from one remote to another.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlsysops_core.errors import MlsError, TimedOut, Unreachable, UsageError

from mlsysops_cli.testbed.incus.faults import fault_of
from mlsysops_cli.testbed.tools import run, which

if TYPE_CHECKING:
    import subprocess

    from mlsysops_cli.testbed.incus.place import Place

__all__ = ["Client"]

#: Seconds for an answer that takes the server no work.
_ANSWER = 30.0
#: Seconds for work: a host that starts or stops, an instance that is unpacked on a slow disk.
_WORK = 180.0
#: Seconds for an image that is fetched first, and unpacked.
_IMAGE = 1200.0


class Client:
    """Talks to one project of one server.

    Args:
        place: Which.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def require(self) -> None:
        """Make sure that the client program is there.

        Raises:
            UsageError: It is not.
        """
        if not which(self._place.client):
            raise UsageError(
                f"{self._place.client} is not installed",
                hint=f"the testbed is on its remote {self._place.remote}: install it again",
            )

    def get(self, path: str, what: str) -> Any:
        """Read something; None where it is an empty object, of which the client says nothing.

        Args:
            path: Below ``/1.0``, with its query.
            what: What is tried, for the error.

        Raises:
            MlsError: The family says why.
            Unreachable: The server does not answer.
        """
        try:
            return self._query(path, what=what, timeout=_ANSWER)
        except TimedOut as exc:
            raise Unreachable(
                f"{self._place.remote}: does not answer within {_ANSWER:.0f} s",
                hint=f"is the server running? `{self._place.client} remote list` shows its address",
            ) from exc

    def send(self, method: str, path: str, body: object, what: str, *, timeout: float = _WORK) -> Any:
        """Change something, and wait until it is changed.

        Args:
            method: ``PUT``, ``POST``, ``PATCH`` or ``DELETE``.
            path: Below ``/1.0``.
            body: The request's, to be JSON.
            what: What is tried, for the error.
            timeout: Seconds.

        Raises:
            MlsError: The family says why.
            TimedOut: It takes longer.
        """
        data = ("--data", json.dumps(body)) if body is not None else ()
        return self._query(path, "--request", method, "--wait", *data, what=what, timeout=timeout)

    def init(self, name: str, document: dict[str, Any], what: str) -> None:
        """Make an instance of the place's image, without starting it.

        Args:
            name: Of the instance.
            document: Its configuration and devices, as the API has them.
            what: What is tried, for the error.
        """
        place = self._place
        profiles = [word for profile in place.profiles for word in ("--profile", profile)]
        argv = ("init", "--quiet", "--project", place.project, *profiles, *(["--vm"] if place.vm else []))
        done = self._run(*argv, place.image, f"{place.remote}:{name}", text=json.dumps(document), timeout=_IMAGE)
        if done.returncode != 0:
            raise fault_of(place, what, done.stderr)

    def execute(self, name: str, script: str, *, timeout: float = _WORK) -> subprocess.CompletedProcess[str]:
        """Run a shell script as root in an instance that is running; how it ended is for the caller to look at."""
        place = self._place
        argv = (
            "exec",
            "--project",
            place.project,
            "--force-noninteractive",
            f"{place.remote}:{name}",
            "--",
            "sh",
            "-s",
        )
        return self._run(*argv, text=script, timeout=timeout)

    def _query(self, path: str, *words: str, what: str, timeout: float) -> Any:
        place = self._place
        joint = "&" if "?" in path else "?"
        address = f"{place.remote}:/1.0{path}{joint}project={quote(place.project, safe='')}"
        done = self._run("query", *words, address, timeout=timeout)
        if done.returncode != 0:
            raise fault_of(place, what, done.stderr)
        try:
            return json.loads(done.stdout) if done.stdout.strip() else None
        except ValueError as exc:
            raise MlsError(f"{place.remote}: cannot {what}: the answer is no JSON") from exc

    def _run(self, *words: str, text: str | None = None, timeout: float) -> subprocess.CompletedProcess[str]:
        self.require()
        # A request must not go out any more when whoever asked for it was killed: `down` may have looked by then.
        tied = ("setpriv", "--pdeathsig", "KILL") if which("setpriv") else ()
        return run(*tied, self._place.client, *words, check=False, text=text, timeout=timeout)
