#!/bin/sh
# All that a GPU is needed for, in one go: tests, speeds, the most telling runs of profile `gpu`.
#
#   tests/gpu/all.sh OUT [MINUTES]
#
# OUT gets the log of the tests, the speeds, a profile of the steps and a pack of the runs. MINUTES,
# nine by default, is how long all of it may take; the runs get what is left. It needs only what
# `adlib` and pytest need. Where there is no GPU it runs too, as a rehearsal:
# ADLIB_PROFILES=tests ADLIB_PROFILE=smoke JOBS=2 tests/gpu/all.sh OUT
set -u
cd "$(dirname "$0")/../.." || exit 2
out=${1:?"usage: $0 OUT [MINUTES]"}
end=$(($(date +%s) + ${2:-9} * 60))
python=${PYTHON:-python3}
export PYTHONPATH="$PWD" TQDM_DISABLE=1 ADLIB_RUNS="${ADLIB_RUNS:-$(mktemp -d)}"
mkdir -p "$out"
left() { echo $(($end - $(date +%s))); }
part() {  # NAME SECONDS COMMAND: its output goes to a log; a part that fails does not stop the rest
    name=$1 limit=$2; shift 2
    timeout "$limit" "$@" >"$out/$name.txt" 2>&1
    echo "$name: exit code $?, $(tail -n 1 "$out/$name.txt")"
}
nvidia-smi -L
part tests $(($(left) / 4)) "$python" -m pytest -q -p no:cacheprovider tests/gpu
part speeds $(($(left) / 4)) "$python" tests/bench/bench_steps.py --repeats 3
cp results/bench/*.json "$out"  # the plan of the runs reads them too
part kernels $(($(left) / 4)) "$python" tests/gpu/profile_steps.py "$out/steps.txt"
part runs "$(left)" "$python" -m adlib train-runs --profile "${ADLIB_PROFILE:-gpu}" \
    --minutes "$(($(left) / 60))" --pack "$out/runs.tar.xz" --jobs "${JOBS:-10}"
