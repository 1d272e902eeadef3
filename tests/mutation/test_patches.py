"""The mutations of `benchmarks/mutations.py` still fit the code; one that does not is never passed over."""

import dataclasses

import pytest

from benchmarks.mutations import MUTATIONS, ROOT, PatchMoved, judge, mutated


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_patch_fits_and_its_tests_are_there(mutation):
    text = (ROOT / mutation.path).read_text(encoding="utf-8")
    assert mutated(text, mutation) != text
    for test in mutation.tests:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_a_patch_whose_target_moved_is_said_and_not_passed_over(tmp_path):
    gone = dataclasses.replace(MUTATIONS[0], old="what is not there")
    with pytest.raises(PatchMoved):
        mutated("some text", gone)
    target = tmp_path / gone.path
    target.parent.mkdir(parents=True)
    target.write_text("some text")
    is_noticed, words = judge(tmp_path, gone)
    assert not is_noticed
    assert "PATCH MOVED" in words
