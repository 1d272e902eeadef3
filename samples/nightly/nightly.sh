#!/bin/sh
# Run the job and act by its exit code. 4 means: stopped early, run it again and it resumes. All others are for
# people or for the scheduler: see README.md.
cd "$(dirname "$0")" || exit 2
tries_left=${TRIES:-3}
while :; do
    bulklink run job.toml --quiet
    code=$?
    tries_left=$((tries_left - 1))
    if [ "$code" -ne 4 ] || [ "$tries_left" -le 0 ]; then
        exit "$code"
    fi
    sleep "${PAUSE_S:-600}"
done
