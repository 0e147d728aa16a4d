#!/usr/bin/env bash
# Lints and tests the training code in training/.venv, which it makes if need be. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")"
source venv.sh
.venv/bin/python -m ruff check .
.venv/bin/python -m pytest -q "$@"
