"""Fills an artifacts directory: a few downloads at a time, each resumed where it broke off, none kept unchecked."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from mlsysops_core.errors import InvalidInput, MlsError, NotFound, PartialFailure, Unreachable

from mlsysops_cli.artifacts.manifest import Entry, Manifest, digest_of
from mlsysops_cli.slice.state import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlsysops_cli.artifacts.catalog import Artifact
    from mlsysops_cli.artifacts.manifest import Trust

__all__ = ["Fetched", "fetch_artifacts"]

#: Downloads at a time: enough to fill a line, few enough to be welcome.
_AT_A_TIME = 4
_ATTEMPTS = 5
_TIMEOUT = httpx.Timeout(15.0, pool=None)
_SUMS_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one artifact.

    Attributes:
        name: Its name.
        size: Its size in bytes.
        trust: Who vouches for it.
        changed: It was downloaded just now.
    """

    name: str
    size: int
    trust: Trust
    changed: bool


def fetch_artifacts(
    directory: Path, artifacts: Sequence[Artifact], note: Callable[[str], None], *, proxy: str = ""
) -> list[Fetched]:
    """Make a directory hold some artifacts and its list say what they are.

    Args:
        directory: The directory; made where it does not exist.
        artifacts: What it must hold.
        note: Told what goes on.
        proxy: Proxy for all downloads; the environment's where empty.

    Returns:
        One entry an artifact, in their order.

    Raises:
        PartialFailure: Some could not be had; the others are kept.
        MlsError: None could be had; the family is that of the first failure.
    """
    with locked(directory, f"the artifacts in {directory}"):
        manifest = Manifest.load(directory)
        outcomes = _all(directory, artifacts, manifest, note, proxy)
    fetched = [one for one in outcomes if isinstance(one, Fetched)]
    failures = [one for one in outcomes if isinstance(one, MlsError)]
    if failures and not fetched:
        raise failures[0]
    if failures:
        raise PartialFailure(
            f"{len(failures)} of {len(outcomes)} artifacts could not be had: {'; '.join(str(f.message) for f in failures)}",
            hint="run it again: what is there stays, what broke off goes on",
        )
    return fetched


def _all(
    directory: Path, artifacts: Sequence[Artifact], manifest: Manifest, note: Callable[[str], None], proxy: str
) -> list[Fetched | MlsError]:
    writing = threading.Lock()
    with (
        httpx.Client(
            timeout=_TIMEOUT, follow_redirects=True, proxy=proxy or None, headers={"User-Agent": "mlsysops"}
        ) as client,
        ThreadPoolExecutor(_AT_A_TIME) as pool,
    ):

        def one(artifact: Artifact) -> Fetched | MlsError:
            try:
                entry, changed = _one(client, directory, artifact, manifest, note)
            except MlsError as exc:
                return exc
            with writing:
                manifest.artifacts[artifact.name] = entry
                manifest.save(directory)  # at once: an interrupted run knows what it has
            return Fetched(artifact.name, entry.size, entry.trust, changed)

        return list(pool.map(one, artifacts))


def _one(
    client: httpx.Client, directory: Path, artifact: Artifact, manifest: Manifest, note: Callable[[str], None]
) -> tuple[Entry, bool]:
    path = directory / artifact.name
    known = manifest.artifacts.get(artifact.name)
    wanted = manifest.wanted(artifact)
    trust: Trust = "pinned" if artifact.sha256 else known.trust if known else "first-use"
    if wanted and path.is_file() and digest_of(path) == wanted:
        url = known.url if known else artifact.url
        return Entry(sha256=wanted, size=path.stat().st_size, url=url, trust=trust), False
    if not wanted and artifact.sums_url:
        wanted, trust = _released_sum(client, artifact), "released-list"
    note(f"fetching {artifact.name}")
    found = _download(client, artifact, path, wanted)
    if not wanted:
        note(f"warning: nobody vouches for {artifact.name}: its checksum {found[:16]}… is trusted from now on")
    return Entry(sha256=found, size=path.stat().st_size, url=artifact.url, trust=trust), True


def _released_sum(client: httpx.Client, artifact: Artifact) -> str:
    try:
        answer = client.get(artifact.sums_url)
    except httpx.HTTPError as exc:
        raise _unreachable(artifact.sums_url, exc) from exc
    _check_status(artifact.sums_url, answer)
    name = artifact.name.rpartition("/")[2]
    for line in answer.text[:_SUMS_LIMIT].splitlines():
        digest, _, file = line.strip().partition(" ")
        if len(digest) == 64 and file.strip().lstrip("*").rpartition("/")[2] in (name, ""):
            return digest.lower()
    raise InvalidInput(f"{artifact.sums_url} does not name {name}", hint="is the version right?")


def _download(client: httpx.Client, artifact: Artifact, path: Path, wanted: str) -> str:
    """Download into ``<path>.part``, check, and put it in place; return the checksum."""
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not wanted:  # what an earlier run left may be of another release: nothing could tell
        part.unlink(missing_ok=True)
    broken: httpx.HTTPError | None = None
    wrong = ""
    for _ in range(_ATTEMPTS):
        try:
            _append(client, artifact.url, part)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.ReadTimeout) as exc:
            broken = exc
            continue
        except httpx.HTTPError as exc:
            raise _unreachable(artifact.url, exc) from exc
        found = digest_of(part)
        if not wanted or found == wanted:
            part.replace(path)
            return found
        part.unlink()
        if wrong == found:  # twice the same: it is what the server has
            break
        wrong = found
    if wrong:
        raise InvalidInput(
            f"{artifact.url} has the wrong checksum {wrong[:16]}…, wanted {wanted[:16]}…",
            hint="check version and mirror",
        )
    raise Unreachable(
        f"{artifact.url} broke off {_ATTEMPTS} times ({_reason(broken)})",
        hint="run it again: it goes on where it stopped",
    )


def _append(client: httpx.Client, url: str, part: Path) -> None:
    start = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == 416 and start:  # nothing after what there is: whole, or of another file
            complete = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if complete != str(start):
                part.unlink()
                raise httpx.ReadError("a part of another file was there")
            return
        _check_status(url, answer)
        with part.open("ab" if answer.status_code == 206 else "wb") as stream:
            for block in answer.iter_raw():  # as it comes: what came before a break is kept
                stream.write(block)


def _check_status(url: str, answer: httpx.Response) -> None:
    if answer.status_code == 404:
        raise NotFound(f"{url} is not there (HTTP 404)", hint="check the version, or mls_artifacts_mirror")
    if answer.is_error:
        raise Unreachable(f"{url}: HTTP {answer.status_code} {answer.reason_phrase}", hint="try again later")


def _unreachable(url: str, exc: httpx.HTTPError) -> Unreachable:
    if isinstance(exc, httpx.ProxyError):
        return Unreachable(f"the proxy refuses {url}: {_reason(exc)}", hint="check mls_https_proxy and HTTPS_PROXY")
    return Unreachable(
        f"{url} cannot be fetched: {_reason(exc)}", hint="check DNS and the line, or set mls_https_proxy"
    )


def _reason(exc: BaseException | None) -> str:
    text = " ".join(str(exc).split()) if exc else ""
    with contextlib.suppress(AttributeError):
        text = text or type(exc).__name__
    return text or "no reason given"
