#!/usr/bin/env bash
# Runs the unit tests on other supported Pythons of this machine: matrix.sh MAIN_PYTHON [newest]
# All of them, or the newest alone: what an older one takes and a newer one does not shows there first.
set -euo pipefail
main=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
extent=${2:-all}

# Prints the path of an interpreter of a version: a version manager's shim may be on PATH and yet not run, so that only one
# that answers counts.
interpreter() {
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ]; then
            echo "$candidate"
            return
        fi
    done
}

for version in 3.14 3.13 3.12 3.11; do
    [ "$version" = "$main" ] && continue
    found=$(interpreter "$version")
    if [ -z "$found" ]; then
        echo "matrix: no Python $version on this machine: skipped" >&2
        continue
    fi
    stamp=.venv-$version/.set-up
    if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ constraints.txt -nt "$stamp" ]; then
        tests/tools/make_venv.sh "$found" ".venv-$version"
        touch "$stamp"
    fi
    echo "matrix: unit tests on $(".venv-$version/bin/python" --version)" >&2
    ".venv-$version/bin/pytest" -q ${PYTEST_PARALLEL:-} tests/unit
    [ "$extent" = newest ] && break
done
exit 0
