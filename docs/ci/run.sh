#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Gates a change on any CI server: bash docs/ci/run.sh [SUITE…]. Exit status 0 only when every test and limit held.
#
# results/xunit.xml is the JUnit file, results/summary.md the job summary, results/report.html and log.html are for
# people. They are there whether the gate said yes or no: keep the folder as an artifact in both cases.
set -uo pipefail
cd "$(dirname "$0")/../.."

# The accelerator's RTL is checked only where Verilator is; the suites say so when it is not.
if ! command -v verilator >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends verilator g++ make >/dev/null ||
        echo "Verilator could not be installed: the RTL is not checked."
fi

./bench run "${@:-robot/gestures.robot}"
status=$?

if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -f results/summary.md ]; then
    cat results/summary.md >>"$GITHUB_STEP_SUMMARY"
fi
exit $status
