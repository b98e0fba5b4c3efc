"""Objectives are read again when their files change, and what is broken changes nothing but the faults."""

import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.openslo import BadObjective, read_bytes
from backends.slo_folder import SloFolder
from cockpit.domain.breakers import Catalogue
from cockpit.domain.slos import SloBook
from tests.objectives.written import LIMIT, RATIO, REFERENCE, SLI
from tests.trading_platform import demo_catalogue


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Watched:
    """A folder of objectives, and a clock that moves only when a test says so."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock = path, Clock()
        self.write("a.yaml", RATIO)
        self.write("b.yaml", LIMIT)
        self.folder = SloFolder(False, [path], demo_catalogue(), settle_s=0.5, clock=self.clock)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def settled(self) -> SloBook:
        """The book once what is there now has stood still."""
        self.folder.book()
        self.clock.now_s += 0.5
        return self.folder.book()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    found = Watched(tmp_path)
    assert names(found.folder.book()) == ["order-success", "bar-staleness"]
    return found


def names(book: SloBook) -> list[str]:
    return [slo.name for slo in book.slos]


def test_without_a_change_the_same_book_is_given(watched: Watched) -> None:
    before = watched.folder.book()
    assert watched.settled() is before


def test_a_change_is_taken_once_it_stands_still(watched: Watched) -> None:
    watched.write("a.yaml", RATIO.replace("order-success", "orders"))
    assert names(watched.folder.book())[0] == "order-success"
    watched.clock.now_s += 0.49
    assert names(watched.folder.book())[0] == "order-success"
    watched.write("a.yaml", RATIO.replace("order-success", "orders-2"))  # still being written
    watched.clock.now_s += 0.49
    assert names(watched.folder.book())[0] == "order-success"
    watched.clock.now_s += 0.5
    assert names(watched.folder.book())[0] == "orders-2"


def test_only_the_changed_file_is_read_again(watched: Watched) -> None:
    before = watched.folder.book()
    watched.write("a.yaml", RATIO.replace("order-success", "orders"))
    after = watched.settled()
    assert after.slos[1] is before.slos[1]
    assert after.loaded_at is not None
    assert before.loaded_at is not None
    assert after.loaded_at > before.loaded_at


def test_a_file_that_comes_or_goes_is_a_change(watched: Watched) -> None:
    watched.write("c.yaml", RATIO.replace("order-success", "orders"))
    assert names(watched.settled()) == ["order-success", "bar-staleness", "orders"]
    (watched.path / "a.yaml").unlink()
    assert names(watched.settled()) == ["bar-staleness", "orders"]


def replaced(path: Path, text: str) -> None:
    """As careful editors do it: another inode, and here the same size and times."""
    before = path.stat()
    fresh = path.with_name(".fresh")
    fresh.write_text(text)
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    fresh.replace(path)


def in_place(path: Path, text: str) -> None:
    """The same inode and size, and a time that was set back."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("save", [replaced, in_place])
def test_a_change_of_the_same_size_and_time_is_seen(
    watched: Watched, save: Callable[[Path, str], None]
) -> None:
    text = RATIO.replace("order-success", "order-failure")
    assert len(text) == len(RATIO)
    save(watched.path / "a.yaml", text)
    assert names(watched.settled())[0] == "order-failure"


@pytest.mark.parametrize("kept", range(0, len(RATIO) - 1, 7))
def test_a_half_saved_file_keeps_the_last_good_book(watched: Watched, kept: int) -> None:
    """At whatever character the saving stopped, also where what is left would be an objective."""
    before = watched.folder.book()
    watched.write("a.yaml", RATIO[:kept])
    after = watched.settled()
    assert (after.slos, after.thresholds) == (before.slos, before.thresholds)
    assert after.loaded_at == before.loaded_at
    (fault,) = after.faults
    assert fault.startswith(f"{watched.path / 'a.yaml'}:")
    assert f"the objectives of {before.loaded_at:%Y-%m-%d %H:%M:%SZ} stand meanwhile" in fault
    watched.write("a.yaml", RATIO)
    mended = watched.settled()
    assert (names(mended), mended.faults) == (names(before), ())


def test_a_file_cut_within_its_last_number_is_not_taken(watched: Watched) -> None:
    watched.write("a.yaml", RATIO.removesuffix("95\n"))
    assert "ends in mid-line, as it did not before" in watched.settled().faults[0]
    assert str(watched.folder.book().slos[0].objective) == "0.995"


def test_a_file_that_never_ended_its_last_line_may_go_on_so(watched: Watched) -> None:
    watched.write("c.yaml", RATIO.replace("order-success", "orders").rstrip())
    assert names(watched.settled())[2] == "orders"
    watched.write("c.yaml", RATIO.replace("order-success", "orders-2").rstrip())
    assert names(watched.settled())[2] == "orders-2"


def test_faults_across_files_keep_the_book_too(watched: Watched) -> None:
    watched.write("c.yaml", RATIO)
    book = watched.settled()
    assert "already in" in book.faults[0]
    assert names(book) == ["order-success", "bar-staleness"]
    (watched.path / "c.yaml").unlink()
    assert watched.settled().faults == ()


def test_an_indicator_that_goes_away_breaks_who_refers_to_it(watched: Watched) -> None:
    watched.write("a.yaml", REFERENCE)
    watched.write("c.yaml", SLI)
    before = watched.settled()
    assert before.faults == ()
    (watched.path / "c.yaml").unlink()
    after = watched.settled()
    assert "no SLI 'orders' in any file" in after.faults[0]
    assert after.slos == before.slos


def test_a_folder_that_empties_or_goes_away_keeps_the_book(watched: Watched) -> None:  # I25
    before = watched.folder.book()
    for name in ("a.yaml", "b.yaml"):
        (watched.path / name).unlink()
    empty = watched.settled()
    assert "holds no *.yaml file" in empty.faults[0]
    watched.path.rmdir()
    gone = watched.settled()
    assert "cannot be read" in gone.faults[0]
    assert gone.slos == empty.slos == before.slos
    assert gone.loaded_at == before.loaded_at
    watched.path.mkdir()
    watched.write("a.yaml", RATIO)
    assert (names(watched.settled()), watched.folder.book().faults) == (["order-success"], ())


def test_a_file_that_is_put_back_as_it_was_heals(watched: Watched) -> None:
    aside = watched.path / "a.aside"
    (watched.path / "a.yaml").rename(aside)
    watched.write("a.yaml", "half")
    assert watched.settled().faults
    aside.replace(watched.path / "a.yaml")
    assert watched.settled().faults == ()


def test_the_first_fault_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: SLO\n")
    for path, said in (
        (tmp_path, r"a\.yaml:1: apiVersion: is missing"),
        (tmp_path / "none", "cannot be read"),
    ):
        folder = SloFolder(False, [path], demo_catalogue())
        with pytest.raises(BadObjective, match=said):
            folder.book()
    folder = SloFolder(False, [tmp_path], demo_catalogue())
    (tmp_path / "a.yaml").write_text(RATIO)
    assert names(folder.book()) == ["order-success"]


def test_the_shipped_ones_can_be_had_or_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(RATIO.replace("order-success", "mine"))
    both = SloFolder(True, [tmp_path], demo_catalogue()).book()
    assert names(both)[-1] == "mine"
    assert len(both.slos) == 6
    assert len(both.thresholds) == 6
    assert SloFolder(False, [], demo_catalogue()).book().empty


def test_shipped_ones_that_do_not_fit_the_platform_say_how_to_leave_them_out() -> None:
    folder = SloFolder(True, [], Catalogue.build(("execution",), (), ()))
    with pytest.raises(BadObjective, match="component:ingest") as refused:
        folder.book()
    assert "[slos] shipped = false" in str(refused.value)


def test_packaged_files_are_read_too(tmp_path: Path) -> None:
    """From a zip, as importlib may give them: these have no times, and do not change either."""
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        packed.writestr("slos/a.yaml", RATIO)
    folder = SloFolder(False, [zipfile.Path(tmp_path / "packed.zip", "slos/")], demo_catalogue())
    before = folder.book()
    assert names(before) == ["order-success"]
    assert folder.book() is before


def test_a_link_that_leads_nowhere_does_not_count(watched: Watched) -> None:
    (watched.path / "c.yaml").symlink_to(watched.path / "nowhere")
    assert watched.settled().faults == ()


def test_looking_costs_next_to_nothing(tmp_path: Path) -> None:
    """200 SLOs in 50 files: a look that finds no change is far below a frame of the screen."""
    for place in range(50):
        parts = [RATIO.replace("order-success", f"slo-{place}-{n}") for n in range(4)]
        (tmp_path / f"{place}.yaml").write_text("---\n".join(parts))
    folder = SloFolder(False, [tmp_path], demo_catalogue())
    assert len(folder.book().slos) == 200
    looks = []
    for _ in range(10):
        started = time.perf_counter()
        folder.book()
        looks.append(time.perf_counter() - started)
    assert min(looks) < 0.008


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("put", "said"),
    [(_pipe, "is a pipe"), (Path.mkdir, "is a folder"), (_device, "is a device")],
    ids=["pipe", "folder", "device"],
)
def test_what_is_no_file_is_said_and_keeps_the_book(
    watched: Watched, put: Callable[[Path], None], said: str
) -> None:  # I25
    """A file of objectives that something else replaced: its objective would be gone without a word."""
    before = watched.folder.book()
    aside, place = watched.path / "a.aside", watched.path / "a.yaml"
    place.rename(aside)
    put(place)
    after = watched.settled()
    assert f"{place}: {said}, not a file" in after.faults[0]
    assert after.slos == before.slos
    with pytest.raises(BadObjective, match=f"a.yaml: {said}, not a file"):
        SloFolder(False, [watched.path], demo_catalogue()).book()
    place.rmdir() if place.is_dir() else place.unlink()
    aside.rename(place)
    assert watched.settled().faults == ()


def test_a_pipe_that_takes_a_files_place_while_it_is_read_blocks_nobody(tmp_path: Path) -> None:
    _pipe(tmp_path / "a.yaml")
    with pytest.raises(BadObjective, match="is a pipe, not a file"):
        read_bytes(tmp_path / "a.yaml")
