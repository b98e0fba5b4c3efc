"""The tail reader against real files: growth, rotation, truncation, garbage, and what is no file."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from backends.jsonl_tail import MOST_LINE, Place, Raw, Tail, Unreadable


def texts(lines: list[Raw]) -> list[bytes]:
    return [line.data for line in lines]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_a_line_counts_once_it_has_its_end(path: Path) -> None:
    tail = Tail(path)
    assert tail.read() == [] and tail.place is None  # not there yet
    append(path, b"one\ntw")
    assert texts(tail.read()) == [b"one"]
    append(path, b"o")
    assert tail.read() == []
    append(path, b"\n\nfour\n")
    assert [(line.at, line.data) for line in tail.read()] == [(4, b"two"), (8, b""), (9, b"four")]
    assert not tail.behind
    tail.close()


def test_renamed_and_made_anew_loses_nothing(path: Path) -> None:
    tail = Tail(path)
    append(path, b"one\n")
    assert texts(tail.read()) == [b"one"]
    append(path, b"two\nthr")
    path.rename(path.with_suffix(".1"))
    append(path.with_suffix(".1"), b"ee\ncut off")
    append(path, b"four\n")
    assert texts(tail.read()) == [b"two", b"three", b"cut off", b"four"]
    path.unlink()
    append(path.with_suffix(".1"), b"nobody reads this any more\n")
    assert tail.read() == []
    append(path, b"five\n")
    assert texts(tail.read()) == [b"five"]
    assert tail.restarts == 2
    tail.close()


@pytest.mark.parametrize("grown", [b"new\n", b"new and longer than before\nmore\n"])
def test_cut_and_written_anew_is_read_from_its_start(path: Path, grown: bytes) -> None:
    tail = Tail(path)
    append(path, b"old line\npart")
    assert texts(tail.read()) == [b"old line"]
    path.write_bytes(grown)
    assert texts(tail.read()) == grown.splitlines()
    tail.close()


def test_only_the_part_that_is_no_line_yet_was_cut(path: Path) -> None:
    tail = Tail(path)
    append(path, b"old\npart")
    assert texts(tail.read()) == [b"old"]
    os.truncate(path, 4)
    append(path, b"other\n")  # longer than what was there: only its bytes tell
    assert texts(tail.read()) == [b"other"]
    append(path, b"pa")
    assert tail.read() == []
    os.truncate(path, 10)
    assert tail.read() == []
    append(path, b"x\n")
    assert texts(tail.read()) == [b"x"]
    tail.close()


def test_a_line_over_the_bound_is_passed_over_and_counted(path: Path) -> None:
    tail = Tail(path, most_line=100)
    append(path, b"a\n" + b"x" * 1_000)
    assert texts(tail.read()) == [b"a"]
    append(path, b"x" * 500 + b"\nb\n" + b"y" * 101 + b"\n" + b"z" * 100 + b"\n")
    found = tail.read()
    assert [(line.data, line.length) for line in found] == [
        (b"", 1_500),
        (b"b", 1),
        (b"", 101),
        (b"z" * 100, 100),
    ]
    tail.close()


def test_a_slice_at_a_time(path: Path) -> None:
    append(path, b"".join(b"%06d\n" % number for number in range(1_000)))
    tail = Tail(path)
    first = tail.read(700)
    assert (len(first), tail.behind) == (100, True)
    rest = [line for _ in range(20) for line in tail.read(700)]
    assert texts(first + rest) == [b"%06d" % number for number in range(1_000)] and not tail.behind
    tail.close()


def test_near_its_end_or_where_another_reader_was(path: Path) -> None:
    append(path, b"".join(b"line %d\n" % number for number in range(100)))
    tail = Tail(path, last=20)
    assert texts(tail.read()) == [b"line 98", b"line 99"]
    place = tail.place
    tail.close()
    append(path, b"line 100\n")
    tail = Tail(path, start=place)
    assert texts(tail.read()) == [b"line 100"]
    tail.close()
    exactly = Tail(path, last=17)  # begins where a line begins: nothing is passed over
    assert texts(exactly.read()) == [b"line 99", b"line 100"]
    exactly.close()
    whole = Tail(path, start=Place(place.inode, place.offset, b"other bytes"))  # type: ignore[union-attr]
    assert len(whole.read()) == 101
    whole.close()
    foreign = Tail(path, start=Place(1, place.offset, place.mark))  # type: ignore[union-attr]
    assert len(foreign.read()) == 101
    foreign.close()


def test_what_is_no_file_is_refused_not_waited_for(tmp_path: Path, path: Path) -> None:
    (tmp_path / "target").write_bytes(b"secret\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    begin = time.monotonic()
    for name in ("folder", "link", "pipe", "socket"):
        with pytest.raises(Unreadable, match="link" if name == "link" else "no file"):
            Tail(tmp_path / name).read()
    with pytest.raises(Unreadable, match="no file"):
        Tail("/dev/zero").read()
    listener.close()
    append(path, b"one\n")
    tail = Tail(path)
    assert texts(tail.read()) == [b"one"]
    append(path, b"two\n")
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "target")
    assert texts(tail.read()) == [b"two"]  # what was written before the exchange counts
    with pytest.raises(Unreadable, match="link"):
        tail.read()
    assert time.monotonic() - begin < 30


def test_a_gigabyte_opens_at_once(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b'{"a": 1}\n' * 10)
    tail = Tail(path, last=262_144)
    found = tail.read()
    assert tail.taken <= 262_144
    assert texts(found)[-10:] == [b'{"a": 1}'] * 10
    tail.close()


# Fuzz: whatever happens to the file between two readings, the oracle is every whole line.


class Rotations(RuleBasedStateMachine):
    """A writer that writes any bytes in any portions, rotates and cuts; a reader that looks now and then."""

    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.path = self.folder / f"{time.monotonic_ns()}.jsonl"
        self.tail = Tail(self.path, most_line=200)
        self.moved = 0
        self.got: list[bytes] = []
        self.wanted: list[bytes] = []  # whole lines of the files before this one, and of this one
        self.current = b""
        self.read_up_to = b""

    @rule(data=st.binary(max_size=300) | st.sampled_from([b"\n", b'{"a":1}\n', b"{", b"\xff\n"]))
    def write(self, data: bytes) -> None:
        append(self.path, data)
        self.current += data

    @rule(portions=st.integers(1, 400))
    def look(self, portions: int) -> None:
        self.got += texts(self.tail.read(portions))

    @rule()
    def rotate(self) -> None:
        if not self.path.exists():
            return
        self.catch_up()
        self.moved += 1
        self.path.rename(self.path.with_suffix(f".{self.moved}"))
        append(self.path, b"")
        end = self.current.rpartition(b"\n")[2]
        self.wanted += _lines(self.current) + ([end if len(end) <= 200 else b""] if end else [])
        self.current = b""

    @rule(data=st.binary(min_size=1, max_size=50))
    def cut(self, data: bytes) -> None:
        """Cut to nothing, and (now or later) written anew."""
        if not self.path.exists():
            return
        self.catch_up()
        self.wanted += _lines(self.current)
        self.path.write_bytes(b"")
        self.got += texts(self.tail.read())
        self.current = b""
        self.write(data)

    def catch_up(self) -> None:
        self.got += texts(self.tail.read())
        while self.tail.behind:
            self.got += texts(self.tail.read())

    @invariant()
    def nothing_that_was_not_written(self) -> None:
        known = self.wanted + _lines(self.current)
        assert self.got == known[: len(self.got)]

    def teardown(self) -> None:
        self.catch_up()
        assert self.got == self.wanted + _lines(self.current)
        self.tail.close()


def _lines(data: bytes) -> list[bytes]:
    return [line if len(line) <= 200 else b"" for line in data.split(b"\n")[:-1]]


def test_whatever_the_writer_does_every_whole_line_comes_once_and_in_order(tmp_path: Path) -> None:
    machine = type("Machine", (Rotations,), {"folder": tmp_path})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=60, stateful_step_count=25, deadline=None)
    )


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.text(max_size=40) | st.integers(), max_size=3), max_size=30
    ),
    st.lists(st.integers(1, 90), max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_any_split_of_the_bytes_gives_the_same_objects(
    tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, object]], portions: list[int]
) -> None:
    path = tmp_path_factory.mktemp("split") / "f"
    data = b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in objects)
    tail, found = Tail(path), []
    for portion in (*portions, len(data)):
        append(path, data[:portion])
        data = data[portion:]
        found += [json.loads(line.data) for line in tail.read()]
    append(path, data)
    found += [json.loads(line.data) for line in tail.read()]
    tail.close()
    assert found == objects


def test_the_bound_is_large_enough_for_any_event() -> None:
    assert MOST_LINE >= 65_536


def test_a_file_renamed_away_is_read_in_portions_too(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"1\n")
    tail = Tail(path)
    assert [raw.data for raw in tail.read()] == [b"1"]
    with path.open("r+b") as file:
        file.truncate(1 << 42)
    path.rename(tmp_path / "old")
    path.write_bytes(b"2\n")
    begin = time.monotonic()
    for _ in range(3):
        assert tail.read(4_096) == [] and tail.behind
    assert time.monotonic() - begin < 30 and tail.taken <= 2 + 3 * 4_096
    os.truncate(tmp_path / "old", 2)
    assert [raw.data for raw in (*tail.read(), *tail.read())][-1] == b"2"
    tail.close()


def test_a_line_that_is_given_back_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"1\n22\n333\npart")
    tail = Tail(path)
    first = tail.read()
    assert tail.go_back(first[1]) and tail.behind
    place = tail.place
    assert place is not None and (place.offset, place.mark) == (2, b"1\n")
    assert [raw.data for raw in tail.read()] == [b"22", b"333"]
    assert tail.go_back(first[1])
    path.write_bytes(b"4\n")
    assert [raw.data for raw in tail.read()] == [b"4"]
    assert not tail.go_back(first[1])  # it stood in what is gone
    tail.close()
    assert not tail.go_back(first[1])
