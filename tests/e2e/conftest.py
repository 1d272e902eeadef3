"""What the tests of whole commands share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desk import Desk, a_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path) as here:
        yield here
