"""Downloads with an end: resumed where they broke off, checked before anybody sees them, within a time that is said.

Standard library only: it runs on hosts that have nothing else yet.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

__all__ = ["DownloadError", "Fetcher", "file_digest", "listed_digest", "make_executable"]

_BLOCK = 1 << 20
#: Seconds without a byte, or without an answer of the name service, after which something is taken to be dead.
_SILENCE = 15.0
_ATTEMPTS = 4


class DownloadError(Exception):
    """A download that cannot be had; the message is one line and says what to do.

    Attributes:
        family: Which family of errors it is.
    """

    def __init__(self, message: str, family: str = "unreachable") -> None:
        super().__init__(message)
        self.family = family


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file; empty where there is none."""
    if not path.is_file():
        return ""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def listed_digest(text: str, name: str) -> str:
    """Return what a file of sums (the format of sha256sum) says of a name; one bare sum stands for any name.

    Raises:
        DownloadError: It says nothing of it.
    """
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    for words in lines:
        if len(words) == 2 and words[1].strip().lstrip("*").rpartition("/")[2] == name and _is_sum(words[0]):
            return words[0].lower()
    if len(lines) == 1 and len(lines[0]) == 1 and _is_sum(lines[0][0]):
        return lines[0][0].lower()
    raise DownloadError(f"the list of checksums does not name {name}: is the version right?", "not-found")


def _is_sum(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdefABCDEF" for c in text)


class Fetcher:
    """Fetches over HTTP, by way of a proxy where one is set.

    Args:
        proxies: ``http`` and ``https`` proxy URLs, and ``no`` (host names, domains, addresses and CIDRs, comma-separated).
        timeout: Seconds for one download in all.
    """

    def __init__(self, proxies: dict[str, str], timeout: float) -> None:
        self._proxies = {scheme: proxies[scheme] for scheme in ("http", "https") if proxies.get(scheme)}
        self._direct = [entry.strip() for entry in proxies.get("no", "").split(",") if entry.strip()]
        self._deadline = time.monotonic() + timeout
        self._timeout = timeout

    def text(self, url: str, limit: int = 1 << 20) -> str:
        """Return a small text.

        Raises:
            DownloadError: It cannot be had.
        """
        with self._open(url, 0) as answer:
            return str(answer.read(limit).decode("utf-8", "replace"))

    def file(self, url: str, path: Path, digest: str) -> str:
        """Fetch a file, going on where an earlier attempt broke off, and put it in place when its sum is right.

        Args:
            url: Where it is.
            path: Where it goes; ``<path>.part`` holds what there is of it.
            digest: The SHA-256 that it must have; empty where nobody knows it, and then any whole file will do.

        Returns:
            The SHA-256 that it has.

        Raises:
            DownloadError: It cannot be had, or is not what it should be.
        """
        part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not digest:  # what an earlier run left may be of another file: nothing could tell
            part.unlink(missing_ok=True)
        seen: set[str] = set()
        broken: DownloadError | None = None
        for _ in range(_ATTEMPTS):
            try:
                self._append(url, part)
            except DownloadError as exc:
                if exc.family != "truncated":
                    raise
                broken = exc
                continue
            found = file_digest(part)
            if found == digest or not digest:
                part.replace(path)
                return found
            part.unlink()
            if found in seen:  # twice the same from the start: it is what the server has
                break
            seen.add(found)
        if seen:
            wrong = min(seen)
            raise DownloadError(
                f"{url} has the wrong checksum {wrong[:16]}…, wanted {digest[:16]}…: check the version and the mirror",
                "invalid-input",
            )
        raise DownloadError(f"{broken}, {_ATTEMPTS} times: check the server and the proxy")

    def _append(self, url: str, part: Path) -> None:
        start = part.stat().st_size if part.is_file() else 0
        with self._open(url, start) as answer:
            resumed = getattr(answer, "status", 200) == 206
            length = answer.headers.get("Content-Length")
            wanted = int(length) if length and length.isdecimal() else None
            got = 0
            with part.open("ab" if resumed else "wb") as stream:
                while True:
                    try:
                        block = answer.read(_BLOCK if wanted is None else min(_BLOCK, wanted - got) or 1)
                    except (OSError, http.client.HTTPException) as exc:
                        raise DownloadError(self._said(url, exc, "broke off"), "truncated") from exc
                    if not block:
                        break
                    stream.write(block)
                    got += len(block)
                    self._check_time(url)
            if wanted is not None and got < wanted:
                raise DownloadError(f"{url} broke off after {got} of {wanted} bytes", "truncated")

    def _open(self, url: str, start: int) -> http.client.HTTPResponse:
        self._check_time(url)
        parsed = urllib.parse.urlsplit(url)
        proxy = "" if self._goes_directly(parsed.hostname or "") else self._proxies.get(parsed.scheme, "")
        where = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else parsed
        self._resolve(where.hostname or "", url, through_proxy=bool(proxy))
        handlers: list[urllib.request.BaseHandler] = [
            urllib.request.ProxyHandler({parsed.scheme: proxy} if proxy else {})
        ]
        opener = urllib.request.build_opener(*handlers)
        request = urllib.request.Request(url, headers={"User-Agent": "mlsysops"})  # noqa: S310 - checked below
        if parsed.scheme not in ("http", "https"):
            raise DownloadError(f"{url}: only http and https are fetched", "invalid-input")
        if start:
            request.add_header("Range", f"bytes={start}-")
        try:
            answer: http.client.HTTPResponse = opener.open(request, timeout=_SILENCE)
        except urllib.error.HTTPError as exc:
            exc.close()
            if exc.code == 416 and start:  # there is nothing after what we have: it is whole, or of another file
                return self._open(url, 0)
            if exc.code == 407 or (proxy and exc.code in (403, 502, 503)):
                raise DownloadError(
                    f"the proxy {_shown(proxy)} refuses {url}: HTTP {exc.code}; check mls_https_proxy"
                ) from exc
            if exc.code == 404:
                raise DownloadError(
                    f"{url} is not there (HTTP 404): check the version, or mls_artifacts_mirror", "not-found"
                ) from exc
            raise DownloadError(f"{url}: HTTP {exc.code} {exc.reason}") from exc
        except (OSError, http.client.HTTPException) as exc:
            through = f" by way of the proxy {_shown(proxy)}" if proxy else ""
            raise DownloadError(self._said(url, exc, f"cannot be fetched{through}")) from exc
        return answer

    def _resolve(self, name: str, url: str, *, through_proxy: bool) -> None:
        """Ask the name service first, with a limit of our own: the C library's is not ours to set, and may be minutes."""
        failures: list[OSError | None] = []

        def look() -> None:
            try:
                socket.getaddrinfo(name, None)
                failures.append(None)
            except OSError as exc:
                failures.append(exc)

        asking = threading.Thread(target=look, daemon=True)
        started = time.monotonic()
        asking.start()
        asking.join(min(_SILENCE, max(0.1, self._deadline - time.monotonic())))
        what = f"the proxy's name {name}" if through_proxy else f"the name {name}"
        failure = failures[0] if failures else socket.gaierror(socket.EAI_AGAIN, "still waiting")
        if failure is None:
            return
        if (
            failure.errno == socket.EAI_AGAIN
        ):  # the C library has given up, or we have: nobody said that there is no such name
            waited = time.monotonic() - started
            raise DownloadError(
                f"the name service does not answer for {what} ({waited:.0f} s): check /etc/resolv.conf of the host, "
                f"or set mls_https_proxy or mls_artifacts_dir ({url})"
            )
        raise DownloadError(
            f"{what} is unknown ({failure.strerror or failure}): check DNS, or set mls_https_proxy or mls_artifacts_dir ({url})"
        )

    def _goes_directly(self, host: str) -> bool:
        return any(_covers(entry, host) for entry in self._direct)

    def _check_time(self, url: str) -> None:
        if time.monotonic() > self._deadline:
            raise DownloadError(
                f"{url} was not fetched within {self._timeout:.0f} s: run again, it goes on from here", "timed-out"
            )

    @staticmethod
    def _said(url: str, exc: Exception, what: str) -> str:
        reason = getattr(exc, "reason", exc)
        if isinstance(reason, TimeoutError):
            return f"{url} {what}: nothing came for {_SILENCE:.0f} s"
        if isinstance(reason, ssl.SSLError):
            return f"{url} {what}: TLS: {reason.reason or reason}"
        return f"{url} {what}: {' '.join(str(getattr(reason, 'strerror', None) or reason).split())}"


def _shown(proxy: str) -> str:
    """Return host and port of a proxy's URL, without its password."""
    return proxy.rpartition("@")[2].rpartition("//")[2].rstrip("/")


def _covers(entry: str, host: str) -> bool:
    """Whether an entry of a no-proxy list names a host: a name, a domain, an address or a CIDR."""
    import ipaddress

    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        domain = entry.lstrip("*").lstrip(".").lower()
        return bool(domain) and (host.lower() == domain or host.lower().endswith(f".{domain}"))


def make_executable(path: Path, mode: int) -> bool:
    """Give a file its mode; return whether it had another."""
    if path.stat().st_mode & 0o7777 == mode:
        return False
    os.chmod(path, mode)  # noqa: PTH101 - the host's Python may be old
    return True
