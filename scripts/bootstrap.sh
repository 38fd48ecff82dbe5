#!/bin/sh
# Makes .venv with Python 3.12, else 3.11, unless it is there. Installs nothing into it: the Makefile does.
set -eu
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] && exit 0
# pyenv's shim refuses a version that is not selected; the interpreter behind it is there all the same.
for candidate in ${PYTHON:-} python3.12 "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.12*/bin/python3.12 python3.11 python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
        echo "making .venv with $("$candidate" --version)" >&2
        exec "$candidate" -m venv .venv
    fi
done
echo "propdesk needs Python 3.12 (or 3.11) with its venv module; none of python3.12, python3.11, python3 is that" >&2
echo "Debian and Ubuntu: apt-get install python3.12-venv; or name one: make run PYTHON=/path/to/python3.12" >&2
exit 2
