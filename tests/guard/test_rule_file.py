"""Files that are no files of rules: one line, and never a wait."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cockpit.domain.trigger_parsing import BadRule
from cockpit.guard.rule_file import read_rules
from tests.trading_platform import demo_catalogue


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    pipe, folder = tmp_path / "pipe.toml", tmp_path / "folder.toml"
    os.mkfifo(pipe)
    folder.mkdir()
    for each in (pipe, folder):
        with pytest.raises(BadRule, match="name a file"):
            read_rules(each, demo_catalogue())


@pytest.mark.parametrize(
    ("text", "said"), [(b"\xff", "not TOML"), (b"rule = 3", "rule"), (b"x" * 1_000_001, "over 1,000,000")]
)
def test_one_line_that_names_the_file(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "rules.toml"
    with pytest.raises(BadRule) as caught:
        path.write_bytes(text)
        read_rules(path, demo_catalogue())
    assert str(caught.value).startswith(str(path)) and said in str(caught.value)
    assert "\n" not in str(caught.value)
