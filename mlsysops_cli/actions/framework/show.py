"""What `mls framework render`, `diff` and `create-app-test-description` do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import Conflict, NotFound, Unreachable

from mlsysops_cli.actions.framework.chosen import chosen_slice, default_inventory
from mlsysops_cli.actions.framework.existing import look_at_existing
from mlsysops_cli.actions.framework.overlay import overlay_descriptions, rendered_tree
from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError, essence
from mlsysops_cli.assets import asset
from mlsysops_cli.files import write_private
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.output import emit_document, to_yaml, write
from mlsysops_cli.render import (
    cached_facts,
    diff_trees,
    local_facts,
    preflight_plan,
    test_application,
    write_tree,
)
from mlsysops_cli.render.descriptions import describe_nodes
from mlsysops_cli.render.templates import dump_documents
from mlsysops_cli.runner import PlaybookRun, choose_progress, run_playbook
from mlsysops_cli.slice import SliceState, plan_layout, preview_addresses

if TYPE_CHECKING:
    from mlsysops_cli.render import TreeDiff
    from mlsysops_cli.settings import Settings
    from mlsysops_cli.slice import Slice, SliceLayout

__all__ = ["create_test_description", "diff", "render", "tell_difference"]

TEST_DESCRIPTION = "mlsysops-app-test-description.yaml"


def _load(
    settings: Settings, inventory: str | None, vault: str | None, *, look: bool = True
) -> tuple[Slice, SliceLayout, str, dict[str, dict[str, Any]]]:
    """Read and place a slice; with clusters that exist, what their APIs say where they are to be looked at."""
    path = default_inventory(settings, inventory)
    slice_ = load_slice(path, vault_password_file=vault)
    found: dict[str, dict[str, Any]] = {}
    if look:
        slice_, existing = look_at_existing(settings, slice_)
        found = existing.facts(slice_)
    state = SliceState.find(slice_.name)
    return slice_, plan_layout(slice_, preview_addresses(slice_, state.addresses if state else None)), path, found


def render(
    settings: Settings, inventory: str | None, output: str, descriptions: str | None, *, gather: bool, vault: str | None,
    plan: str | None = None,
) -> None:  # fmt: skip
    """Render a slice into a directory, and where asked for what the playbook `preflight` takes; nothing else is touched.

    Args:
        settings: Told what was done.
        inventory: Path of the inventory.
        output: The directory.
        descriptions: Directory of descriptions that replace rendered ones.
        gather: Ask hosts over SSH for their hardware.
        vault: File that decrypts vaulted parts.
        plan: File for the plan of the playbook `preflight`.
    """
    slice_, layout, path, found = _load(settings, inventory, vault, look=gather)
    for warning in slice_.warnings:
        settings.note(f"warning: {warning}")
    gathered = _gather(settings, slice_, path, vault) if gather and not slice_.local else {}
    tree = rendered_tree(slice_, layout, descriptions, gathered | found)
    changed = write_tree(tree, Path(output))
    settings.note(f"{len(tree)} files in {output}, {len(changed)} of them changed")
    if settings.structured:
        document = {"slice": slice_.name, "directory": output, "files": sorted(tree), "changed": sorted(changed)}
        emit_document(settings, document, kind="slice", name="slice")
    if plan:
        write_private(Path(plan), json.dumps({"mls_plan": preflight_plan(layout)}, indent=1) + "\n")
        settings.note(f"ansible-playbook -i {path} -e @{plan} {asset('playbooks', 'preflight.yml')}")


def _gather(settings: Settings, slice_: Slice, inventory: str, vault: str | None) -> dict[str, dict[str, Any]]:
    """Gather the facts of hosts over SSH; those that cannot be reached keep what the inventory says."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="mls-facts-") as directory:
        run = PlaybookRun(
            playbook=asset("playbooks", "facts.yml"),
            inventories=[Path(inventory).absolute()],
            state=Path(directory),
            logs=Path(directory) / "logs",
            logs_stay=False,
            title="gather facts",
            vault_password_file=vault,
            environment={"ANSIBLE_TIMEOUT": "5"},
        )
        result = run_playbook(run, choose_progress("gather facts", quiet=settings.quiet))
    for failure in result.failures:
        settings.note(f"warning: {failure.host}: {failure.message}; its hardware is what the inventory says")
    return result.facts


def diff(settings: Settings, inventory: str | None, descriptions: str | None, vault: str | None) -> bool:
    """Show how what an inventory renders to differs from what the slice has; return whether it does.

    Raises:
        NotFound: The slice is not deployed.
        Unreachable: A control plane does not answer.
    """
    slice_, layout, _, found = _load(settings, inventory, vault)
    if SliceState.find(slice_.name) is None:
        raise NotFound(f"slice {slice_.name} is not deployed", hint="run `mls framework deploy-all`")
    tree = rendered_tree(slice_, layout, facts=found)
    if descriptions:
        overlay_descriptions(tree, slice_, Path(descriptions))
    live: dict[str, str] = {}
    wanted: dict[str, str] = {}
    planes = {"continuum": layout.management.admin_kubeconfig}
    planes |= {f"clusters/{c.name}": layout.server(c.name).admin_kubeconfig for c in slice_.clusters}
    if layout.continuum_in_pods:
        planes["management"] = layout.management.host_kubeconfig
    for folder, kubeconfig in planes.items():
        if not kubeconfig.exists():
            raise NotFound(f"{folder} has no control plane yet", hint="run `mls framework deploy-all`")
        api = Api(str(kubeconfig))
        for path, documents in tree.items():
            if path.startswith(f"{folder}/"):
                for document in documents:
                    name = f"{folder}/{document['kind']}/{document['metadata']['name']}.yaml"
                    live[name], wanted[name] = _states(api, document)
    for path, documents in tree.items():
        if path.startswith("hosts/"):
            host = layout.hosts[path.split("/")[1]]
            file = (layout.directory if host.host.local else layout.directory / "rendered") / path
            live[path] = file.read_text(encoding="utf-8") if file.is_file() else ""
            wanted[path] = dump_documents(documents)
    return tell_difference(settings, slice_.name, diff_trees(live, wanted))


def tell_difference(settings: Settings, name: str, found: TreeDiff) -> bool:
    """Print what differs; return whether anything does.

    Args:
        settings: Global options.
        name: The slice.
        found: What differs.
    """
    if settings.structured:
        document = {"slice": name, "differs": bool(found.changed), "changed": found.changed, "diff": found.text}
        emit_document(settings, document, kind="slice", name="slice")
    elif settings.output == "name":
        write("".join(f"{path}\n" for path in found.changed))
    else:
        write(found.text)
    return bool(found.changed)


def _states(api: Api, document: dict[str, Any]) -> tuple[str, str]:
    """Return what an object is and what applying it would make of it, as YAML."""
    try:
        _, before, after = api.apply(document, manager="mls", timeout=0, dry_run=True)
    except ApiUnreachableError as exc:
        raise Unreachable(str(exc), hint="`mls framework status` shows what runs") from exc
    except ApiError as exc:
        if exc.code == 404:  # its kind or namespace is not there either
            return "", _text(document)
        raise Conflict(f"{document['kind']} {document['metadata']['name']}: {exc}") from exc
    return (_text(before) if before else ""), _text(after)


def _text(document: dict[str, Any]) -> str:
    """Return an object as YAML: keys in one order, whoever wrote them last, and nothing that only its server decides."""
    shown = essence(document)
    metadata = {key: value for key, value in shown["metadata"].items() if key not in {"uid", "creationTimestamp"}}
    return to_yaml(_sorted({**shown, "metadata": metadata}))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def create_test_description(
    settings: Settings, inventory: str | None, output: str | None, *, vault: str | None, force: bool
) -> None:
    """Write the description of the test application for a slice.

    Raises:
        Conflict: The file exists.
    """
    if inventory is None:
        state = chosen_slice(settings)
        inventory = state.inventory
    slice_ = load_slice(inventory, vault_password_file=vault)
    facts = cached_facts(slice_) | local_facts(slice_)
    text = test_application(slice_.name, [c.name for c in slice_.clusters], describe_nodes(slice_, facts))
    if output == "-":
        write(text)
        return
    path = Path(output or TEST_DESCRIPTION)
    if path.is_dir():
        path = path / TEST_DESCRIPTION
    try:
        with path.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as exc:
        raise Conflict(f"{path} exists", hint="--force replaces it, --file writes elsewhere") from exc
    write(f"{path}\n")
    settings.note(f"deploy it with: mls apps deploy-app --path {path}")
