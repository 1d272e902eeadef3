"""Does a test notice when the code is broken? Ten small mistakes, each in a copy of the package, each with its test.

A patch is a piece of text and what takes its place. If the text is not there exactly once, the code has moved on and
the patch must follow: the tool says so and fails; it never passes over a patch. The named tests must pass without the
patch, and at least one of them must fail with it.

    python -m benchmarks.mutations [--only WORD]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("bulklink", "tests", "benchmarks", "pyproject.toml")
TEST_S_MAX = 120
FAULTS = "tests/simulation/test_single_faults.py"
SEAMS = "tests/faults/test_live_seams.py"


class PatchMoved(Exception):
    """The text that a patch replaces is not there, or more than once."""


@dataclass(frozen=True)
class Mutation:
    """One mistake. tests: node ids; quick ones that are meant to notice it."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "ignore Content-ID when attributing",
        "bulklink/core/reply.py",
        "            parts = self._read_item(item, is_whole=True)\n            spoken_for",
        "            parts = self._read_item(item, is_whole=True)\n"
        "            first = self._starts[min(place, len(self._starts) - 1)]\n"
        "            parts = [part._replace(operation=first + k) for k, part in enumerate(parts)]\n"
        "            spoken_for",
        ("tests/unit/test_reply.py::test_parts_speak_for_their_content_id_wherever_they_stand",),
    ),
    Mutation(
        "a missing part counts as success",
        "bulklink/core/reply.py",
        "        fates=np.full(n, Fate.UNKNOWN, np.uint8),\n        statuses=np.zeros(n, np.uint16),",
        "        fates=np.full(n, Fate.ANSWERED, np.uint8),\n        statuses=np.full(n, 204, np.uint16),",
        ("tests/unit/test_reply.py::test_missing_parts_are_unknown_where_nothing_shows_that_the_service_stopped",),
    ),
    Mutation(
        "an absent read right after a lost answer counts as not done",
        "bulklink/core/doubts.py",
        "        return asked_s >= self._doubts[row].conclusive_s",
        "        return True",
        (f"{FAULTS}::test_not_there_right_after_a_lost_answer_is_not_not_done",),
    ),
    Mutation(
        "a 412 vouches for its siblings",
        "bulklink/core/fates.py",
        "                rolled_back.append(row)",
        "                duplicates = [one for one in reply.answers.values() if one.status == 412]\n"
        "                self._succeeded(row, duplicates[0]) if duplicates else rolled_back.append(row)",
        (f"{FAULTS}::test_a_duplicate_does_not_vouch_for_its_siblings",),
    ),
    Mutation(
        "send before the journal is written",
        "bulklink/driving.py",
        "            self._write_down(sends, self._engine.take_settled())\n"
        "            for send in sends:\n"
        "                tasks.start_soon(self._post, send)\n",
        "            for send in sends:\n"
        "                tasks.start_soon(self._post, send)\n"
        "            await anyio.sleep(0.05)\n"
        "            self._write_down(sends, self._engine.take_settled())\n",
        (f"{SEAMS}::test_a_batch_stands_in_the_journal_before_it_arrives",),
    ),
    Mutation(
        "the duplicate points at the wrong row",
        "bulklink/core/wishes.py",
        "    block.refers_to = np.array([first for _, first in repeats], np.int64)",
        "    block.refers_to = np.array([first + 1 for _, first in repeats], np.int64)",
        ("tests/property/test_wishes_laws.py::test_a_duplicate_points_at_the_first_row_of_its_wish",),
    ),
    Mutation(
        "Retry-After ignored by reads",
        "bulklink/core/engine.py",
        "        if not self._pace.may_send(now_s):\n",
        "        if early := self._read_step(now_s):\n"
        "            return early\n"
        "        if not self._pace.may_send(now_s):\n",
        (f"{FAULTS}::test_readings_wait_for_retry_after_as_writes_do",),
    ),
    Mutation(
        "Retry-After ignored by readings of keys",
        "bulklink/gate.py",
        "            retry_after_s=answer.retry_after_s if throttled else None,",
        "            retry_after_s=0.0,",
        ("tests/unit/test_gate.py::test_the_pause_of_a_throttled_reading_names_the_limit_that_was_met",),
    ),
    Mutation(
        "settled rows sent again on resume",
        "bulklink/session.py",
        "            ledger = _replayed(journal, spool.n_rows)\n            done =",
        "            ledger = Ledger(spool.n_rows)\n            done =",
        ("tests/e2e/test_running_again.py::test_an_unfinished_run_goes_on",),
    ),
    Mutation(
        "a group member sent without its group",
        "bulklink/core/groups.py",
        "        if arrived and len(arrived) == len(self._open.get(group, ())):",
        "        if arrived:",
        (f"{FAULTS}::test_a_group_is_sent_whole_or_not_at_all",),
    ),
    Mutation(
        "a turned pair reversed",
        "bulklink/linking.py",
        "        told.reverse()",
        "        told = told[:]",
        (f"{SEAMS}::test_a_pair_that_was_given_the_wrong_way_round_is_linked_the_right_way_round",),
    ),
)


def mutated(text: str, mutation: Mutation) -> str:
    """The text with the mistake in it. Raises PatchMoved if the patch does not fit."""
    found = text.count(mutation.old)
    if found != 1:
        raise PatchMoved(f"{mutation.path}: the text to replace is there {found} times")
    return text.replace(mutation.old, mutation.new)


def copy_of_the_house(folder: Path) -> Path:
    """Package, tests and benchmarks in a folder of their own, where they can be broken."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


def failing(house: Path, tests: tuple[str, ...]) -> list[str]:
    """Which of these tests fail in that house."""
    env = os.environ | {"PYTHONPATH": str(house), "PYTHONDONTWRITEBYTECODE": "1"}
    failed = []
    for test in tests:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=no", test]
        # A mutant may also turn for ever: that is noticed too.
        try:
            ran = subprocess.run(
                command, cwd=house, env=env, capture_output=True, text=True, check=False, timeout=TEST_S_MAX
            )
        except subprocess.TimeoutExpired:
            failed.append(test)
            continue
        if ran.returncode not in (0, 1):
            raise RuntimeError(f"{test} cannot be run: {ran.stdout[-500:]}{ran.stderr[-500:]}")
        if ran.returncode == 1:
            failed.append(test)
    return failed


def judge(house: Path, mutation: Mutation) -> tuple[bool, str]:
    """Whether the mistake is noticed, and by which test, or why not."""
    path = house / mutation.path
    sound = path.read_text(encoding="utf-8")
    try:
        broken = mutated(sound, mutation)
    except PatchMoved as moved:
        return False, f"PATCH MOVED: {moved}"
    path.write_text(broken, encoding="utf-8")
    try:
        killers = failing(house, mutation.tests)
    finally:
        path.write_text(sound, encoding="utf-8")
    if not killers:
        return False, "SURVIVES: " + ", ".join(mutation.tests)
    unfit = [test for test in failing(house, mutation.tests) if test in killers]
    return (False, f"FAILS WITHOUT IT TOO: {unfit}") if unfit else (True, ", ".join(killers))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutations whose name holds this word")
    arguments = parser.parse_args()
    chosen = [mutation for mutation in MUTATIONS if arguments.only in mutation.name]
    all_noticed = bool(chosen)
    with tempfile.TemporaryDirectory(prefix="bulklink-mutations-") as folder:
        house = copy_of_the_house(Path(folder))
        for mutation in chosen:
            is_noticed, words = judge(house, mutation)
            all_noticed &= is_noticed
            print(f"{'noticed' if is_noticed else 'NOT':8} {mutation.name:60} {words}", flush=True)
    return 0 if all_noticed else 1


if __name__ == "__main__":
    sys.exit(main())
