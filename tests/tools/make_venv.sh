#!/usr/bin/env bash
# Makes a virtual environment with everything of this checkout in it: make_venv.sh PYTHON DIRECTORY
set -euo pipefail
python=$1 directory=$2

command -v "$python" >/dev/null || { echo "make setup: no '$python' on PATH: install Python 3.11 or newer" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "make setup: $("$python" --version 2>&1) is too old: MLSysOps needs Python 3.11 or newer (make setup PYTHON=python3.12)" >&2
    exit 1
}
if [ ! -x "$directory/bin/pip" ]; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        # Debian and Ubuntu ship the venv module apart from the interpreter.
        package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "make setup: installing $package" >&2
            apt-get update -qq && apt-get install -y -qq "$package" >/dev/null
        else
            echo "make setup: $python has no venv module: run 'sudo apt-get install $package' and try again" >&2
            exit 1
        fi
    fi
    "$python" -m venv --clear "$directory"
fi
echo "make setup: installing into $directory ($("$directory/bin/python" --version))" >&2
"$directory/bin/pip" install -q -c constraints.txt pip
"$directory/bin/pip" install -q -c constraints.txt -e '.[all]' --group dev
