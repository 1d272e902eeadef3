"""What does a refused row cost its neighbours? Operations executed per row under policies for change sets.

The model: each row is bad with probability 0.1, 1 or 5 %, and a bad one is refused whenever it is sent. A change set
executes its operations in order up to the first bad one and is rolled back; its answer names the culprit, which is
settled. A clean change set settles all of its rows. "Operations per row" counts everything that the service executed,
rolled back or not; "time per row" is the service's time against change sets of one without bad rows, where an
operation costs 1 and each change set `--commit` more for its transaction.

    bisection             100 rows a set; a refused set is sent again as two halves
    remove and resend     100 rows a set; a refused set is sent again without the culprit
    straight to ones      100 rows a set; the others of a refused set go as change sets of one
    change sets of one    nobody has neighbours
    auto                  the default: `ChangeSetSizer`, the others of a refused set go as change sets of one

    python -m benchmarks.policies [--rows 200000] [--commit 0.5]
"""

import argparse
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bulklink.core.change_set_size import ChangeSetSizer

SIZE = 100
BATCH = 500
BAD_SHARES = (0.001, 0.01, 0.05)


@dataclass
class Service:
    """Executes change sets and keeps the books."""

    commit: float
    operations: int = 0
    time: float = 0.0

    def execute(self, rows: Sequence[bool]) -> int | None:
        """rows: True where bad. Returns the culprit's position, None if the change set was committed."""
        culprit = next((k for k, is_bad in enumerate(rows) if is_bad), None)
        executed = len(rows) if culprit is None else culprit + 1
        self.operations += executed
        self.time += executed + self.commit
        return culprit


Policy = Callable[[Sequence[bool], Service, random.Random], None]


def narrow(after: Callable[[Sequence[bool], int], list[Sequence[bool]]]) -> Policy:
    """Change sets of 100; `after` says how the rows of a refused one go again."""

    def run(rows: Sequence[bool], service: Service, _rng: random.Random) -> None:
        waiting = deque(rows[k : k + SIZE] for k in range(0, len(rows), SIZE))
        while waiting:
            change_set = waiting.popleft()
            culprit = service.execute(change_set)
            if culprit is not None:
                waiting.extend(part for part in after(change_set, culprit) if part)

    return run


def bisect(rows: Sequence[bool], _culprit: int) -> list[Sequence[bool]]:
    middle = len(rows) // 2
    return [rows[:middle], rows[middle:]] if middle else []


def remove_culprit(rows: Sequence[bool], culprit: int) -> list[Sequence[bool]]:
    return [[*rows[:culprit], *rows[culprit + 1 :]]]


def straight_to_ones(rows: Sequence[bool], culprit: int) -> list[Sequence[bool]]:
    return [rows[k : k + 1] for k in range(len(rows)) if k != culprit]


def ones(rows: Sequence[bool], service: Service, _rng: random.Random) -> None:
    for k in range(len(rows)):
        service.execute(rows[k : k + 1])


def auto(rows: Sequence[bool], service: Service, rng: random.Random) -> None:
    """As the engine does it: batches of change sets, what is sent again goes first and alone, timing is noisy."""
    sizer = ChangeSetSizer(None)
    again: list[bool] = []
    start = 0
    while start < len(rows) or again:
        size = 1 if again else sizer.size
        batch = again[:BATCH] or rows[start : start + BATCH]
        again, start = (again[BATCH:], start) if again else ([], start + BATCH)
        began = service.time
        is_rolled_back = False
        for k in range(0, len(batch), size):
            change_set = batch[k : k + size]
            culprit = service.execute(change_set)
            if culprit is not None:
                is_rolled_back = True
                again += [is_bad for j, is_bad in enumerate(change_set) if j != culprit]
        sizer.learned(size, len(batch), (service.time - began) * rng.lognormvariate(0, 0.1), is_rolled_back)


POLICIES: dict[str, Policy] = {
    "bisection": narrow(bisect),
    "remove and resend": narrow(remove_culprit),
    "straight to ones": narrow(straight_to_ones),
    "change sets of one": ones,
    "auto": auto,
}


def measure(policy: str, bad_share: float, rows: int, commit: float, seed: int = 1) -> tuple[float, float]:
    """Operations executed per row; the service's time per row against clean change sets of one."""
    rng = random.Random(seed)
    service = Service(commit)
    POLICIES[policy]([rng.random() < bad_share for _ in range(rows)], service, rng)
    return service.operations / rows, service.time / rows / (1 + commit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--commit", type=float, default=0.5, help="cost of a transaction, in operations")
    arguments = parser.parse_args()
    print("                       operations executed per row        service time per row, change sets of one = 1")
    print("policy                 0 %     0.1 %   1 %     5 %        0 %     0.1 %   1 %     5 %")
    for policy in POLICIES:
        measured = [measure(policy, share, arguments.rows, arguments.commit) for share in (0.0, *BAD_SHARES)]
        operations = "".join(f"{one:<8.2f}" for one, _ in measured)
        time = "".join(f"{one:<8.2f}" for _, one in measured)
        print(f"{policy:23}{operations}   {time}")


if __name__ == "__main__":
    main()
