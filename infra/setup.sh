#!/bin/sh
# Makes .venv from the hashed lock files. Called by `make setup`, from the project's folder.
set -eu

PYTHON="${PYTHON:-python3}"
say() { printf '%s\n' "$*"; }
fail() { printf 'Error: %s\n' "$*" >&2; exit 2; }

command -v "$PYTHON" >/dev/null 2>&1 || fail "no $PYTHON found. Install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=python3.12 setup"
"$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    fail "$("$PYTHON" --version) found; Larder runs on Python 3.11, 3.12 and 3.13. Name another: make PYTHON=python3.12 setup"

if [ ! -x .venv/bin/python ]; then
    say "Making .venv with $("$PYTHON" --version) ..."
    "$PYTHON" -m venv .venv || {
        rm -rf .venv
        fail "Python cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"
    }
fi

# uv installs the lock in a quarter of pip's time; pip does the same where uv cannot reach the index.
say "Installing the locked dependencies (about a minute when nothing is cached) ..."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r infra/bootstrap.lock
.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements.lock ||
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --editable . --editable infra/stages

[ -f .env ] || cp .env.example .env
say "Ready: .venv"
