#!/usr/bin/env bash
# Lints and tests the training code in training/.venv, which it makes if need be. Arguments go to pytest. One test
# serves a bundle with `npm start`, so the services' packages are installed where they are not.
set -euo pipefail
cd "$(dirname "$0")"
source venv.sh
[ -x ../node_modules/.bin/node ] || npm ci --prefix ..
.venv/bin/python -m ruff check .
.venv/bin/python -m pytest -q "$@"
