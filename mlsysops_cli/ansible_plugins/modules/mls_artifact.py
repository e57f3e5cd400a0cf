"""Ansible module: released files on a host, checked."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_artifact
short_description: Keep released files on a host, never without checking them
description:
  - Makes files be there with the SHA-256 that is wanted, from URLs or from files that were carried to the host. A
    download that broke off goes on where it stopped. What has no known checksum is checked against the list of
    checksums that is released beside it; where there is none either it is taken once, if C(first_use) says so. In both
    cases the sum is written down in C(pins), and a file that differs the next time is refused.
  - With C(state=query) only tells which have to be carried.
options:
  artifacts:
    description: >-
      The files, each with C(name) (path among the released ones), C(path) (where it goes), C(mode) (octal), C(member)
      (takes this file out of it, a tar archive, instead of the archive itself), C(sha256) (empty where it is not known),
      C(sums_url), C(first_use), C(url), and C(carried) (file that it was carried in, which goes; it is fetched where empty).
    type: list
    elements: dict
    default: []
  pins:
    description: File of this host that holds the checksums that were found out.
    type: path
    required: true
  proxies:
    description: Proxies C(http) and C(https), and C(no), where to go without.
    type: dict
    default: {}
  timeout:
    description: Seconds for one download in all.
    type: int
    default: 600
  state:
    description: Whether they are there, gone, or only looked at.
    type: str
    choices: [present, absent, query]
    default: present
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Install k3s
  mls_artifact:
    artifacts:
      - name: k3s/v1.36.4+k3s1/k3s
        path: /usr/local/bin/k3s
        mode: '0755'
        member: ''
        sha256: 835873f37245fc615f547a2fe2af9402a347875f13fa64a1f136de644955ea3f
        sums_url: ''
        first_use: false
        url: https://github.com/k3s-io/k3s/releases/download/v1.36.4%2Bk3s1/k3s
        carried: ''
    pins: /var/lib/mlsysops/x/artifacts.json
"""

RETURN = r"""
needed:
  description: Names of those that have to be carried; with C(state=query).
  returned: with state=query
  type: list
touched:
  description: Names of those that were put in place or removed.
  returned: otherwise
  type: list
"""

import json  # noqa: E402 - Ansible wants the documentation first
import os  # noqa: E402
import shutil  # noqa: E402
import tarfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_download import (  # noqa: E402
    DownloadError,
    Fetcher,
    file_digest,
    listed_digest,
    make_executable,
)
from ansible.module_utils.mls_files import write_file  # noqa: E402

Wanted = dict[str, Any]
Pins = dict[str, dict[str, str]]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "artifacts": {"type": "list", "elements": "dict", "default": []},
            "pins": {"type": "path", "required": True},
            "proxies": {"type": "dict", "default": {}, "no_log": True},
            "timeout": {"type": "int", "default": 600},
            "state": {"type": "str", "choices": ["present", "absent", "query"], "default": "present"},
        },
        supports_check_mode=True,
    )
    state, wanted = module.params["state"], module.params["artifacts"]
    pins = Path(module.params["pins"])
    known = _pins(pins)
    touched = []
    for one in wanted:
        try:
            if state == "absent":
                changed = _remove(module, one, known)
            elif state == "query":
                changed = bool(one["carried"]) and not _good(one, known)
            else:
                changed = _keep(module, one, pins, known)
        except DownloadError as exc:
            family = exc.family if exc.family != "truncated" else "unreachable"
            module.fail_json(msg="{}: {}".format(one["name"], exc), mls_error=family)
        except (OSError, tarfile.TarError) as exc:
            module.fail_json(msg="{}: {}".format(one["name"], exc))
        if changed:
            touched.append(one["name"])
    if state == "query":
        module.exit_json(changed=False, needed=touched)
    module.exit_json(changed=bool(touched), touched=touched)


def _wanted_sum(one: Wanted, known: Pins) -> str:
    return str(one["sha256"] or known.get(one["name"], {}).get("sha256", ""))


def _good(one: Wanted, known: Pins) -> bool:
    wanted, there = _wanted_sum(one, known), file_digest(Path(one["path"]))
    if not one["member"]:
        return bool(wanted) and there == wanted
    # Of an archive's member the sum is known once it was taken out of an archive whose own sum was right.
    pin = known.get(one["name"], {})
    return bool(there) and there == pin.get("member") and wanted == pin.get("sha256")


def _keep(module: Any, one: Wanted, pins: Path, known: Pins) -> bool:
    path, mode = Path(one["path"]), int(one["mode"], 8)
    if _good(one, known):
        if module.check_mode:
            return path.stat().st_mode & 0o7777 != mode
        return bool(make_executable(path, mode))
    if module.check_mode:
        return True
    digest = _fetch(module.params, one, _wanted_sum(one, known))
    make_executable(path, mode)
    member = {"member": file_digest(path)} if one["member"] else {}
    known[one["name"]] = {"sha256": digest, "path": str(path), **member}
    write_file(pins, json.dumps(known, indent=2, sort_keys=True) + "\n")
    return True


def _fetch(parameters: dict[str, Any], one: Wanted, wanted: str) -> str:
    """Put an artifact in place and return its checksum."""
    path = Path(one["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    archive = path.with_name(f".{path.name}.archive") if one["member"] else path
    if one["carried"]:
        _take_carried(Path(one["carried"]), archive, wanted)
    else:
        fetcher = Fetcher(parameters["proxies"], parameters["timeout"])
        if not wanted and one["sums_url"]:
            wanted = listed_digest(fetcher.text(one["sums_url"]), one["name"].rpartition("/")[2])
        if not wanted and not one["first_use"]:
            raise DownloadError(
                "nothing is known to check it with: use `mls framework fetch-artifacts` and set mls_artifacts_dir",
                "invalid-input",
            )
        wanted = fetcher.file(one["url"], archive, wanted)
    if one["member"]:
        _take_out(archive, one["member"], path)
        archive.unlink()
    return wanted


def _take_carried(carried: Path, archive: Path, wanted: str) -> None:
    found = file_digest(carried)
    if found != wanted:
        carried.unlink(missing_ok=True)
        what = f"the file that was carried has the wrong checksum {found[:16]}…" if found else "no file was carried"
        raise DownloadError(
            f"{what}, wanted {wanted[:16]}…: run `mls framework fetch-artifacts` again", "invalid-input"
        )
    partial = archive.with_name(archive.name + ".part")
    shutil.move(str(carried), partial)
    partial.replace(archive)


def _take_out(archive: Path, member: str, path: Path) -> None:
    with tarfile.open(archive, "r:*") as tar:
        source = next(
            (tar.extractfile(one) for one in tar if one.isfile() and one.name.rpartition("/")[2] == member), None
        )
        if source is None:
            raise DownloadError(f"the archive holds no {member}", "invalid-input")
        partial = path.with_name(path.name + ".part")
        with source, partial.open("wb") as stream:
            shutil.copyfileobj(source, stream, 1 << 20)
    partial.replace(path)


def _pins(path: Path) -> Pins:
    try:
        found: Pins = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or half a file: what it said is found out again
        return {}
    return found


def _remove(module: Any, one: Wanted, known: Pins) -> bool:
    path = Path(one["path"])
    paths = [path.with_name(path.name + ".part"), path.with_name(f".{path.name}.archive")]
    # What we did not put there is not ours to remove; what we did may have been of another version.
    if one["name"] in known or any(pin.get("path") == str(path) for pin in known.values()):
        paths.append(path)
    found = [there for there in paths if there.exists() or there.is_symlink()]
    if not module.check_mode:
        for there in found:
            os.unlink(there)  # noqa: PTH108 - the host's Python may be old
    return bool(found)


if __name__ == "__main__":
    main()
