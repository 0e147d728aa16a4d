#!/usr/bin/env bash
# `npm run -s train -- all --data DIR ...`: the training command line, in training/.venv, which it makes if need be.
# Paths in the arguments are meant from where the command was called.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
back=$PWD
cd "$here"
source venv.sh
cd "$back"
PYTHONPATH="$here" exec "$here/.venv/bin/python" -m ask_training "$@"
