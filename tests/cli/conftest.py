from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.cli.bastion import SLOW


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return SLOW
