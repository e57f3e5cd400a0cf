"""Ansible module: the environment that runs the framework's processes on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_runtime
short_description: Provide the environment that runs the framework's processes
description:
  - With C(state=present) checks that an interpreter can import what the host's processes need, and records it in
    C(runtime.json) of the host's directory. Where the environment is one of our own in C(home), it tells which of its
    archives are not unpacked yet instead.
  - With C(state=installed) makes a virtual environment in C(home) and unpacks archives into it; needs neither pip nor a
    network. What runs from an older archive goes on until it is started again.
  - With C(state=absent) removes paths.
options:
  python:
    description: The interpreter.
    type: path
    default: ''
  imports:
    description: Modules that it must find.
    type: list
    elements: str
    default: []
  directory:
    description: Where it is recorded.
    type: path
    default: ''
  home:
    description: Directory of an environment of our own; empty where the interpreter is somebody else's.
    type: str
    default: ''
  archives:
    description: What is unpacked into it, each with C(digest) and the C(file) that it is carried in, which goes.
    type: list
    elements: dict
    default: []
  paths:
    description: Files and directories that go, with C(state=absent).
    type: list
    elements: str
    default: []
  parents:
    description: Directories that go afterwards where they are empty.
    type: list
    elements: str
    default: []
  state:
    description: Whether it is checked, installed, or gone.
    type: str
    choices: [present, installed, absent]
    default: present
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Check the environment
  mls_runtime:
    python: /opt/bin/python
    imports: [mlsysops_agents]
    directory: /var/lib/x/hosts/worker1
"""

RETURN = r"""
missing:
  description: Modules that were not found.
  returned: with state=present and state=installed
  type: list
needed:
  description: Digests of archives that are not unpacked.
  returned: with state=present
  type: list
usable:
  description: Whether the interpreter is there, if perhaps of an older environment.
  returned: with state=present
  type: bool
"""

import importlib.util  # noqa: E402 - Ansible wants the documentation first
import json  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import sys  # noqa: E402
import tarfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_files import write_file  # noqa: E402

SCRIPT = (
    "import importlib.util, json, sys;"
    "print(json.dumps([sys.version.split()[0], [n for n in sys.argv[1:] if importlib.util.find_spec(n) is None]]))"
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "python": {"type": "path", "default": ""},
            "imports": {"type": "list", "elements": "str", "default": []},
            "directory": {"type": "path", "default": ""},
            "home": {"type": "str", "default": ""},
            "archives": {"type": "list", "elements": "dict", "default": []},
            "paths": {"type": "list", "elements": "str", "default": []},
            "parents": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": ["present", "installed", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    state = module.params["state"]
    try:
        if state == "absent":
            module.exit_json(changed=_remove(module))
        if state == "installed":
            if module.check_mode:
                module.exit_json(changed=True, missing=[], needed=[])
            _install(module)
    except (OSError, tarfile.TarError) as exc:
        module.fail_json(msg=f"{state}: {exc}", mls_error="invalid-input")
    needed = _needed(module.params)
    if needed:
        usable = (Path(module.params["home"]) / "venv/bin/python").exists()
        module.exit_json(changed=False, missing=[], needed=needed, usable=usable)
    changed = _check(module)
    module.exit_json(changed=changed or state == "installed", missing=[], needed=[], usable=True)


def _needed(parameters: dict[str, Any]) -> list[str]:
    if not parameters["home"]:
        return []
    home, digests = Path(parameters["home"]), [archive["digest"] for archive in parameters["archives"]]
    if not (home / "venv/bin/python").exists():
        return digests
    return [digest for digest in digests if not (home / digest).is_dir()] or (
        digests if _pth(home) is None or _pth(home) != _pth_text(home, digests) else []
    )


def _pth_file(home: Path) -> Path | None:
    return next((place / "mlsysops.pth" for place in home.glob("venv/lib/python3*/site-packages")), None)


def _pth(home: Path) -> str | None:
    path = _pth_file(home)
    return path.read_text(encoding="utf-8") if path is not None and path.is_file() else None


def _pth_text(home: Path, digests: list[str]) -> str:
    """Return what makes the archives' directories part of the environment (Python's ``site`` module)."""
    return "".join(f"{home / digest}\n" for digest in digests)


def _install(module: Any) -> None:
    home = Path(module.params["home"])
    home.mkdir(parents=True, exist_ok=True, mode=0o755)
    digests = []
    for archive in module.params["archives"]:
        digests.append(archive["digest"])
        place, file = home / archive["digest"], Path(archive["file"])
        if not place.is_dir():
            _unpack(module, file, place)
        file.unlink(missing_ok=True)
    if not (home / "venv/bin/python").exists():
        _run(module, [sys.executable, "-m", "venv", "--without-pip", "--clear", str(home / "venv")])
    path = _pth_file(home)
    if path is None:
        module.fail_json(msg=f"{home}/venv has no site-packages: remove {home} and run again")
    before = (_pth(home) or "").split()
    write_file(path, _pth_text(home, digests), 0o644)
    # What runs may still load modules of the archives before; those before them are of no use to anybody.
    kept = {*digests, "venv", *(Path(line).name for line in before), *_remembered(home)}
    for entry in home.iterdir():
        if entry.name not in kept:
            shutil.rmtree(entry)


def _remembered(home: Path) -> list[str]:
    """Return what an upgrade that is under way may have to go back to (see M(mls_release)), and its record."""
    record = home / "release.json"
    if not record.is_file():
        return []
    files = json.loads(record.read_text(encoding="utf-8"))["files"]
    links = [file["content"] for file in files if file["path"].endswith(".pth")]
    return [record.name, *(Path(line).name for link in links for line in link.split())]


def _unpack(module: Any, file: Path, place: Path) -> None:
    partial = place.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o755)
    with tarfile.open(file, "r:gz") as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(partial, filter="data")
        else:  # Python 3.11.2 of Debian 12 has no filters yet; the archive is ours
            archive.extractall(partial)  # noqa: S202
    if not any(partial.glob("*/__pycache__")):  # made with another Python than this one
        _run(module, [sys.executable, "-m", "compileall", "-q", str(partial)], (0, 1))
    partial.rename(place)


def _run(module: Any, argv: list[str], good: tuple[int, ...] = (0,)) -> None:
    code, output, errors = module.run_command(argv)
    if code not in good:
        module.fail_json(msg="{}: {}".format(" ".join(argv[1:4]), (errors or output).strip()[-300:]))


def _check(module: Any) -> bool:
    python, imports = module.params["python"], module.params["imports"]
    version, missing = _look(module, python, imports)
    if missing:
        module.fail_json(
            msg="{} lacks {}: pip install 'mlsysops-cli[all]' into its environment".format(python, ", ".join(missing)),
            missing=missing,
            mls_error="invalid-input",
        )
    path = Path(module.params["directory"]) / "runtime.json"
    text = json.dumps({"python": python, "version": version}, indent=2, sort_keys=True) + "\n"
    if module.check_mode:
        return not path.is_file() or path.read_text(encoding="utf-8") != text
    return bool(write_file(path, text))


def _look(module: Any, python: str, imports: list[str]) -> tuple[str, list[str]]:
    if python == sys.executable:  # Ansible runs us with it: no need to start it again
        return sys.version.split()[0], [name for name in imports if importlib.util.find_spec(name) is None]
    code, output, errors = module.run_command([python, "-c", SCRIPT, *imports])
    if code != 0:
        module.fail_json(msg=f"{python} cannot be run: {errors.strip()[-200:]}", mls_error="invalid-input")
    version, missing = json.loads(output)
    return str(version), list(missing)


def _remove(module: Any) -> bool:
    changed = False
    for path in map(Path, module.params["paths"]):
        if path.is_symlink() or path.exists():
            changed = True
            if not module.check_mode:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in map(Path, module.params["parents"]):
        if path.is_dir() and not os.listdir(path) and not module.check_mode:  # noqa: PTH208 - the host's Python may be old
            path.rmdir()
    return changed


if __name__ == "__main__":
    main()
