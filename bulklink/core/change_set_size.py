"""Find how many operations a change set should hold.

Owns: the size, grown only while that measurably helps.
Does not know: rows, answers, time; it is told how long the service took.
Source: no document says by how much a larger change set helps, but each roll-back costs all of its operations, so
the size starts at one. The policies are compared in ``benchmarks/policies.py``.
"""

from typing import Final

#: Operations in a change set at the most. Locks last until its commit; Microsoft Learn advises against large ones.
SIZE_MAX: Final = 100
#: Operations measured before a size is judged.
OPERATIONS_JUDGED: Final = 500
#: A larger size must be this much faster than the one before, or it is not worth what a roll-back costs.
GAIN_MIN: Final = 1.1
#: Operations without a roll-back before growth is tried (again). Below one bad row in so many, larger sets can pay.
CLEAN_OPERATIONS: Final = 2_000
_GROWTH: Final = 4


class ChangeSetSizer:
    """The number of operations for the next change sets. A number fixes it; None finds it."""

    def __init__(self, setting: int | None) -> None:
        self._setting = setting
        self._size = setting or 1
        self._smaller: tuple[int, float] | None = None  # size and rate that the present size must beat
        self._has_settled = False
        self._patience = 1
        self._clean = 0
        self._batch_operations = 0
        self._other_operations = 0
        self._measured_operations = 0
        self._measured_s = 0.0

    @property
    def size(self) -> int:
        """Operations for the next change sets."""
        return self._size

    def learned(self, size: int, operations: int, server_s: float, rolled_back: bool) -> None:
        """A batch came back. size: of its change sets; server_s: how long it took; rolled_back: any of its sets."""
        if self._setting is not None:
            return
        if rolled_back:
            self._back_to_one()
            return
        self._clean += operations
        if size != self._size or not self._is_comparable(operations):
            return
        self._measured_operations += operations
        self._measured_s += server_s
        if self._measured_operations >= OPERATIONS_JUDGED and self._measured_s > 0:
            self._judge(self._measured_operations / self._measured_s)

    def _is_comparable(self, operations: int) -> bool:
        """Only batches of one size tell change sets apart: what a request costs by itself is spread over them."""
        if abs(operations - self._batch_operations) <= 0.1 * self._batch_operations:
            self._other_operations = 0
            return True
        self._other_operations += operations
        if operations > self._batch_operations or self._other_operations >= 4 * OPERATIONS_JUDGED:
            # Batches are of another size now. What a smaller change set achieved before does not compare.
            self._batch_operations, self._other_operations = operations, 0
            self._size, self._smaller = self._smaller[0] if self._smaller else self._size, None
            self._measure_anew()
        return False

    def _judge(self, rate: float) -> None:
        """rate: operations per second of server time at the present size."""
        self._measure_anew()
        if self._smaller is not None and rate < GAIN_MIN * self._smaller[1]:
            self._size = self._smaller[0]
            self._smaller = None
            self._has_settled = True
        elif not self._has_settled and self._size < SIZE_MAX and self._clean >= self._patience * CLEAN_OPERATIONS:
            self._smaller = (self._size, rate)
            self._size = min(SIZE_MAX, self._size * _GROWTH)

    def _back_to_one(self) -> None:
        """Larger sets cost too much now. Each time the next try waits twice as long."""
        if self._size > 1:
            self._patience = min(64, 2 * self._patience)
        self._size, self._smaller, self._has_settled, self._clean = 1, None, False, 0
        self._measure_anew()

    def _measure_anew(self) -> None:
        self._measured_operations, self._measured_s = 0, 0.0
