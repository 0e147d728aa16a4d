#!/usr/bin/env bash
# Lints and tests the training code, in a virtual environment that it makes first: again whenever requirements.txt
# changed or an earlier attempt broke off. Arguments go to pytest. PYTHON chooses another interpreter than python3.
set -euo pipefail
cd "$(dirname "$0")"

python=${PYTHON:-python3}
stamp=.venv/requirements.txt

fail() {
  echo "training/test.sh: $1" >&2
  exit 1
}

if [ ! -x .venv/bin/python ] || ! cmp -s requirements.txt "$stamp"; then
  command -v "$python" >/dev/null || fail "$python is not installed; on Debian: apt install python3 python3-venv"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed, $python is $("$python" -V 2>&1)"
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "Python's venv module is missing; on Debian: apt install python3-venv"
  echo "training/test.sh: making training/.venv; PyTorch takes some minutes and 5 GB"
  "$python" -m venv --clear .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
  cp requirements.txt "$stamp"
fi

.venv/bin/python -m ruff check .
.venv/bin/python -m pytest -q "$@"
