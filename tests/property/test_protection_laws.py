"""Laws of the sandbox's service protection."""

from hypothesis import given
from hypothesis import strategies as st

from bulklink.sandbox.protection import Admission, Limits, Protection

gaps = st.lists(st.floats(0.0, 40.0), max_size=60)
durations = st.floats(0.0, 30.0)


def moments(steps):
    now_s = 0.0
    for step in steps:
        now_s += step
        yield now_s


@given(steps=gaps, requests=st.integers(1, 5))
def test_no_window_ever_holds_more_requests_than_the_limit(steps, requests):
    protection = Protection(Limits(requests=requests, window_s=60.0))
    admitted = []
    for now_s in moments(steps):
        admission = protection.arrive("u", 0, now_s)
        if isinstance(admission, Admission):
            protection.leave(admission, now_s, 0.0)
            admitted.append(now_s)
    for end_s in admitted:
        assert sum(end_s - 60.0 < moment <= end_s for moment in admitted) <= requests


@given(steps=gaps, took=st.lists(durations, min_size=60, max_size=60), execution_s=st.floats(1.0, 50.0))
def test_whoever_waits_as_told_is_let_in(steps, took, execution_s):
    """Honest waits: a refused client that is silent until `Retry-After` is over gets in, whichever limit refused it."""
    protection = Protection(Limits(requests=4, execution_s=execution_s, window_s=60.0))
    now_s = 0.0
    for gap, duration in zip(steps, took, strict=False):
        now_s += gap
        admission = protection.arrive("u", 0, now_s)
        if not isinstance(admission, Admission):
            now_s += admission.retry_after_s
            # Time and number are two limits: leaving one may still find the other, but never for longer than a window.
            for _ in range(2):
                admission = protection.arrive("u", 0, now_s)
                if isinstance(admission, Admission):
                    break
                now_s += admission.retry_after_s
        assert isinstance(admission, Admission)
        now_s += duration
        protection.leave(admission, now_s, duration)


@given(steps=gaps)
def test_early_sends_never_shorten_the_wait(steps):
    protection = Protection(Limits(requests=1, window_s=60.0))
    protection.leave(protection.arrive("u", 0, 0.0), 0.0, 0.0)
    free_at_s = 0.0
    for now_s in moments(steps):
        answer = protection.arrive("u", 0, now_s)
        if isinstance(answer, Admission):
            return
        assert now_s + answer.retry_after_s >= free_at_s - 1.0
        free_at_s = now_s + answer.retry_after_s
