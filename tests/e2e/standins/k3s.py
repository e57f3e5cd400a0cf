"""A stand-in for the k3s program, for machines that cannot have it: the embedded engine behind k3s' own face.

What is real about it is what the roles touch: it reads k3s' ``config.yaml`` and refuses keys that k3s does not have, makes
``token``, ``agent-token`` and ``k3s.yaml`` where and how k3s makes them, lets nobody join without the right token (and an
agents' token makes nobody a server), checks the server's authority against the token's hash as k3s does, notifies systemd,
unpacks itself below ``/var/lib/rancher/k3s/data`` and leaves pods running when it stops.

What is not: there is no etcd (a second server forwards to the first), no containerd (images are local programs), no CNI
(pods have the host's network), and joining has a port of its own, 9345.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import json
import os
import re
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import k3s_life as life

CONFIG, DATA = Path("/etc/rancher/k3s"), Path("/var/lib/rancher/k3s")
JOIN_PORT = 9345
#: Flags of k3s that the stand-in understands; another one is refused, as k3s refuses flags that it does not have.
SERVER_KEYS = {
    "advertise-address", "agent-token-file", "cluster-cidr", "cluster-init", "disable", "node-ip", "node-label", "node-name",
    "node-taint", "secrets-encryption", "server", "service-cidr", "tls-san", "token-file", "write-kubeconfig-mode",
}  # fmt: skip
AGENT_KEYS = {"node-ip", "node-label", "node-name", "node-taint", "server", "token-file"}


@functools.cache  # the file may be replaced by another version while this one runs
def carried(name: str) -> str:
    """Return a text that the program carries; empty where it carries none."""
    with zipfile.ZipFile(Path(sys.argv[0]).resolve()) as archive:
        return archive.read(name).decode().strip() if name in archive.namelist() else ""


def log(level: str, text: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(f'time="{stamp}" level={level} msg={json.dumps(text)}', file=sys.stderr, flush=True)


def fatal(text: str) -> Any:
    log("fatal", text)
    raise SystemExit(1)


# -- unpacking, as k3s unpacks itself --------------------------------------------------------------------------------


def unpack() -> Path:
    """Unpack what the program carries, once, and return where."""
    program = Path(sys.argv[0]).resolve()
    digest = hashlib.sha256(program.read_bytes()).hexdigest()
    place, current = DATA / "data" / digest, DATA / "data" / "current"
    if not place.is_dir():
        partial = place.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(program) as archive:
            for name in archive.namelist():
                if name.endswith(".tar.gz"):
                    with archive.open(name) as stream, tarfile.open(fileobj=stream, mode="r|gz") as tar:
                        tar.extractall(partial)
            for name in ("run.py", "contained.py"):
                (partial / name).write_bytes(archive.read(name))
        partial.rename(place)
    if not current.is_symlink() or current.resolve() != place:
        current.unlink(missing_ok=True)
        current.symlink_to(place)
    sys.path.insert(0, str(place))
    return place


def module(*words: str) -> list[str]:
    """Return the command of a program of the engine, which says that it is of the stand-in's version."""
    return ["/usr/bin/python3", str(DATA / "data/current/run.py"), f"STANDIN_VERSION={carried('VERSION')}", *words]


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.new")
    partial.write_text(text, encoding="utf-8")
    partial.chmod(mode)
    partial.replace(path)


def bootstrap(address: str, sans: list[str], kubeconfigs: list[dict[str, Any]], certs: list[dict[str, Any]]) -> None:
    config = {
        "pki_dir": str(DATA / "server/tls"),
        "server": {"url": f"https://{address}:6443", "sans": sans},
        "context": "default",
        "kubeconfigs": kubeconfigs,
        "kubelet_certs": certs,
    }
    path = DATA / "server/bootstrap.json"
    write(path, json.dumps(config))
    subprocess.run(
        module("mlsysops_embedded", "bootstrap", "--config", str(path)), check=True, stdout=subprocess.DEVNULL
    )


def read_config(path: str, known: set[str]) -> dict[str, Any]:
    import yaml

    config: dict[str, Any] = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    unknown = sorted(set(config) - known)
    if unknown:
        fatal(f"Error: flag provided but not defined: -{unknown[0]}")
    registries = CONFIG / "registries.yaml"
    if registries.exists() and set(yaml.safe_load(registries.read_text(encoding="utf-8"))) - {"mirrors", "configs"}:
        fatal("failed to read registries.yaml")
    for archive in sorted((DATA / "agent/images").glob("*")):
        log("info", f"Imported images from {archive}")
    return config


# -- joining -----------------------------------------------------------------------------------------------------------


def ca_hash() -> str:
    return hashlib.sha256((DATA / "server/tls/ca.crt").read_bytes()).hexdigest()


def sans_of(config: dict[str, Any]) -> list[str]:
    return ["127.0.0.1", "localhost", "kubernetes", config["node-ip"], *config.get("tls-san", [])]


class Joining:
    """Lets nodes and servers join that know the token.

    Args:
        config: k3s' configuration.
        tokens: The password of servers and that of agents.
    """

    def __init__(self, config: dict[str, Any], tokens: dict[str, str]) -> None:
        self.config = config
        self.tokens = tokens
        self.lock = threading.Lock()

    def credentials(self, node: str, address: str) -> dict[str, str]:
        """Make a node's credentials."""
        place = DATA / "server/nodes" / node
        with self.lock:
            bootstrap(
                self.config["node-ip"], sans_of(self.config),
                [{"path": str(place / "kubelet.kubeconfig"), "user": f"system:node:{node}", "groups": ["system:nodes"]}],
                [{"dir": str(place), "node": node, "sans": [address, node, "localhost"]}],
            )  # fmt: skip
        return {
            name: (place / name).read_text(encoding="utf-8")
            for name in ("kubelet.kubeconfig", "kubelet.crt", "kubelet.key", "ca.crt")
        }

    def serve(self) -> None:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                if self.path != "/cacerts":
                    return self.answer(404, b"")
                return self.answer(200, (DATA / "server/tls/ca.crt").read_bytes())

            def do_POST(self) -> None:
                said = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
                user, _, password = said.partition(":")
                if not secrets.compare_digest(password, outer.tokens.get(user, "")) or not password:
                    return self.answer(401, b"Unauthorized")
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if asked["as"] == "server" and user != "server":
                    return self.answer(403, b"Forbidden")
                if not life.admit(asked["name"], asked["password"]):
                    return self.answer(403, b"Node password rejected, duplicate hostname or contents")
                answer: dict[str, Any] = {"files": outer.credentials(asked["name"], asked["address"])}
                if asked["as"] == "server":
                    answer["k3s.yaml"] = (CONFIG / "k3s.yaml").read_text(encoding="utf-8")
                    for name in ("token", "agent-token"):
                        answer[name] = (DATA / "server" / name).read_text(encoding="utf-8")
                return self.answer(200, json.dumps(answer).encode())

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(DATA / "server/tls/server.crt", DATA / "server/tls/server.key")
        server = http.server.ThreadingHTTPServer(("0.0.0.0", JOIN_PORT), Handler)
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()


def join(config: dict[str, Any], role: str) -> dict[str, Any]:
    """Join the server that the configuration names, trying until it lets us in."""
    host = re.sub(r"^https://|:6443$", "", config["server"])
    token = Path(config["token-file"]).read_text(encoding="utf-8").strip()
    parts = re.fullmatch(r"K10([0-9a-f]{64})::(server|node):(\S+)", token)
    if not parts:
        fatal("starting kubernetes: preparing server: token is not in the full format")
    about = {"name": config["node-name"], "address": config["node-ip"], "as": role, "password": life.own_password()}
    body = json.dumps(about).encode()
    while True:
        try:
            anyone = ssl._create_unverified_context()
            with urllib.request.urlopen(f"https://{host}:{JOIN_PORT}/cacerts", context=anyone, timeout=5) as answer:
                authority = answer.read()
            if hashlib.sha256(authority).hexdigest() != parts[1]:
                fatal("token CA hash does not match the Cluster CA certificate hash")
            trusted = ssl.create_default_context(cadata=authority.decode())
            login = base64.b64encode(f"{parts[2]}:{parts[3]}".encode()).decode()
            request = urllib.request.Request(
                f"https://{host}:{JOIN_PORT}/join", data=body, headers={"Authorization": f"Basic {login}"}
            )
            with urllib.request.urlopen(request, context=trusted, timeout=30) as answer:
                joined: dict[str, Any] = json.load(answer)
            break
        except urllib.error.HTTPError as exc:
            if role == "server":
                fatal(
                    f"starting kubernetes: preparing server: https://{host}:6443/v1-k3s/server-bootstrap: {exc.code} {exc.reason}"
                )
            log("error", f"Failed to validate connection to cluster at https://{host}:6443: not authorized")
        except OSError as exc:
            log("error", f"Failed to validate connection to cluster at https://{host}:6443: {exc}")
        time.sleep(2)
    for name, text in joined["files"].items():
        write(DATA / "agent" / name, text)
    return joined


# -- running -----------------------------------------------------------------------------------------------------------


class Children:
    """The engine's processes; when one dies, so do we, and systemd starts us again."""

    def __init__(self) -> None:
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.stopping = False

    def start(self, name: str, *words: str) -> None:
        self.running[name] = subprocess.Popen(module(*words))

    def restart(self, name: str, *words: str) -> None:
        old = self.running.pop(name)
        old.terminate()
        old.wait(30)
        self.start(name, *words)

    def stop(self, *_: object) -> None:
        self.stopping = True
        for child in self.running.values():
            child.terminate()
        for child in self.running.values():
            child.wait(30)
        raise SystemExit(0)

    def watch(self) -> None:
        signal.signal(signal.SIGTERM, self.stop)
        while True:
            for name, child in list(self.running.items()):
                if child.poll() is not None and self.running.get(name) is child:
                    fatal(f"{name} exited with status {child.returncode}")
            time.sleep(0.5)


def notify() -> None:
    """Tell systemd that we are ready (sd_notify(3))."""
    where = os.environ.get("NOTIFY_SOCKET")
    if where:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream:
            stream.connect(where.replace("@", "\0", 1))
            stream.send(b"READY=1")


def ready(port: int = 6443) -> None:
    context = ssl.create_default_context(
        cafile=str(DATA / "agent/ca.crt" if port != 6443 else DATA / "server/tls/ca.crt")
    )
    while True:
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{port}/readyz", context=context, timeout=5):
                return
        except OSError:
            time.sleep(0.2)


def start_kubelet(config: dict[str, Any], children: Children) -> None:
    taints = []
    for taint in config.get("node-taint", []):
        rest, _, effect = taint.rpartition(":")
        key, _, value = rest.partition("=")
        taints.append({"key": key, "value": value, "effect": effect})
    api = re.sub(r"^https://", "", config.get("server", f"https://{config['node-ip']}:6443"))
    listen = f"STANDIN_LISTEN={config['node-ip']}"
    programs = {
        "*mlsysops-agents:*": [listen, "contained", api, "mlsysops_agents"],
        "*mlsysops-northbound:*": [listen, "contained", api, "mlsysops_northbound"],
        "*/test-app:*": ["mlsysops_testapp"],
        "standin/karmada:*": ["mlsysops_embedded"],
    }
    runtime = {"images": [{"image": image, "exec": module(*words)} for image, words in programs.items()]}
    write(DATA / "agent/runtime.json", json.dumps(runtime))
    kubelet = {
        "node": config["node-name"],
        "kubeconfig": str(DATA / "agent/kubelet.kubeconfig"),
        "data_dir": str(DATA / "agent/kubelet"),
        "address": config["node-ip"],
        "listen": {"port": 10250},
        "pki_dir": str(DATA / "agent"),
        "labels": dict(label.split("=", 1) for label in config.get("node-label", [])),
        "taints": taints,
        "runtime_config": str(DATA / "agent/runtime.json"),
    }
    # Pods are processes of this host here, and must pass to what a container would have as its own root.
    (DATA / "agent").chmod(0o711)
    write(DATA / "agent/kubelet.json", json.dumps(kubelet))
    children.start("kubelet", "mlsysops_embedded", "kubelet", "--config", str(DATA / "agent/kubelet.json"))


def control_plane(config: dict[str, Any]) -> list[str]:
    """Write the control plane's configuration and return its command."""
    plane: dict[str, Any] = {
        "name": config["node-name"],
        "data_dir": str(life.store_directory(config)),
        "listen": {"address": "0.0.0.0", "port": 6443},
        "pki_dir": str(DATA / "server/tls"),
        # Service addresses of the embedded engine are on loopback; k3s' key is checked and kept beside it.
        "service_cidr": "127.90.136.0/21",
    }
    member = Path("/etc/karmada/member.json")
    if member.exists():
        plane["member"] = json.loads(member.read_text(encoding="utf-8"))
    write(DATA / "server/controlplane.json", json.dumps(plane))
    return ["mlsysops_embedded", "controlplane", "--config", str(DATA / "server/controlplane.json")]


def first_server(config: dict[str, Any], children: Children) -> None:
    kubeconfig = {"path": str(CONFIG / "k3s.yaml"), "user": "system:admin", "groups": ["system:masters"]}
    bootstrap("127.0.0.1", sans_of(config), [kubeconfig], [])
    (CONFIG / "k3s.yaml").chmod(int(config.get("write-kubeconfig-mode", "0600"), 8))
    password = DATA / "server/cred/passwd"
    if not password.exists():
        write(password, secrets.token_hex(16))
    tokens = {"server": password.read_text(encoding="utf-8"), "node": password.read_text(encoding="utf-8")}
    if "agent-token-file" in config:
        tokens["node"] = Path(config["agent-token-file"]).read_text(encoding="utf-8").strip()
    write(DATA / "server/token", f"K10{ca_hash()}::server:{tokens['server']}\n")
    write(DATA / "server/agent-token", f"K10{ca_hash()}::node:{tokens['node']}\n")
    if not (DATA / "server/node-token").is_symlink():
        (DATA / "server/node-token").symlink_to(DATA / "server/token")
    children.start("controlplane", *control_plane(config))
    # karmadactl's stand-in asks for this when the cluster joins as a member that pulls.
    signal.signal(signal.SIGHUP, lambda *_: children.restart("controlplane", *control_plane(config)))
    ready()
    if not life.admit(config["node-name"], life.own_password()):
        fatal(
            "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server"
        )
    joining = Joining(config, tokens)
    joining.serve()
    for name, text in joining.credentials(config["node-name"], config["node-ip"]).items():
        write(DATA / "agent" / name, text)


def next_server(config: dict[str, Any]) -> None:
    joined = join(config, "server")
    write(CONFIG / "k3s.yaml", joined["k3s.yaml"])
    for name in ("token", "agent-token"):
        write(DATA / "server" / name, joined[name])
    if (
        Path(config["agent-token-file"]).read_text(encoding="utf-8").strip()
        != joined["agent-token"].strip().rpartition(":")[2]
    ):
        fatal("critical configuration value mismatch between servers: agent-token")
    host = re.sub(r"^https://|:6443$", "", config["server"])
    listener = socket.create_server(("0.0.0.0", 6443))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            sink.close()

    def accept() -> None:
        while True:
            near, _ = listener.accept()
            try:
                far = socket.create_connection((host, 6443), timeout=10)
            except OSError:
                near.close()
                continue
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def main() -> int:
    words = sys.argv[1:]
    if words == ["--version"]:
        print(f"k3s version {carried('VERSION')} (stand-in)")
        return 0
    unpack()
    if words[:1] == ["kubectl"]:
        return life.kubectl(words[1:])
    if words[:1] == ["etcd-snapshot"]:
        return life.snapshot(words[1:])
    if "--cluster-reset" in words:
        return life.cluster_reset(words)
    if broken := carried("BROKEN"):
        fatal(broken)
    carried("VERSION")
    role, _, path = words  # server|agent --config FILE
    children = Children()
    if role == "server":
        config = read_config(path, SERVER_KEYS)
        next_server(config) if "server" in config else first_server(config, children)
        start_kubelet(config, children)
        notify()
    else:
        config = read_config(path, AGENT_KEYS)
        join(config, "agent")
        start_kubelet(config, children)
    children.watch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
