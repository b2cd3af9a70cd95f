"""The state as files: who may have it, what is refused, and what a full or damaged disk does."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.store.build import FREEZE, T0, column, entry, owed
from watcher.errors import StateLocked, StoreError
from watcher.model import Ack, Commit, Series, Spend, State
from watcher.store import open_readonly, open_store, packing, state_path
from watcher.store.codec import to_text
from watcher.store.database import Database
from watcher.store.lock import StateLock
from watcher.store.schema import MIGRATIONS, migrate


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A state in a folder that does not exist yet."""
    return f"sqlite:///{tmp_path}/state/watcher.db"


# ── the URL and the file ─────────────────────────────────────────────────────────────────────────────────────────────


def test_urls_name_absolute_and_relative_paths() -> None:
    """Four slashes are absolute, three relative."""
    assert state_path("sqlite:////var/lib/watcher/state.db") == Path("/var/lib/watcher/state.db")
    assert state_path("sqlite:///state.db") == Path("state.db")


@pytest.mark.parametrize(
    "url",
    ["", "state.db", "sqlite://state.db", "sqlite:///", "sqlite:////", "sqlite:///:memory:", "sqlite://:memory:",
     "postgresql://example.com/x", "sqlite:///folder/", "sqlite:///a\0b"],
)  # fmt: skip
def test_other_urls_are_refused(url: str) -> None:
    """A state in memory, a folder or another scheme is refused with the form to write."""
    with pytest.raises(ValueError, match="write sqlite:"):
        state_path(url)
    with pytest.raises(StoreError, match="write sqlite:"):
        open_store(url)


def test_files_are_for_their_owner_alone(url: str, tmp_path: Path) -> None:
    """The folder is made 0700, every file in it 0600, whatever the umask allows."""
    old = os.umask(0)
    try:
        store = open_store(url)
        store.probe()
        files = list((tmp_path / "state").iterdir())
        assert {f.name for f in files} >= {"watcher.db", "watcher.db-wal", "watcher.db.lock"}
        assert {f.stat().st_mode & 0o777 for f in files} == {0o600}
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
        store.close()
    finally:
        os.umask(old)


def test_commits_are_synced_to_the_disk(tmp_path: Path) -> None:
    """The settings that durability stands on: WAL with full sync, foreign keys on."""
    database = Database(tmp_path / "s.db", readonly=False)
    settings = [database.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")]
    database.close()
    assert settings == ["wal", 2, 1]


# ── one process per state ────────────────────────────────────────────────────────────────────────────────────────────

HOLDER = """
import sys, time
from watcher.store import open_store
store = open_store(sys.argv[1])
store.probe()
print("open", flush=True)
time.sleep(60)
"""


@contextmanager
def holder(url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the state."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, url], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n"
            yield child
        finally:
            child.kill()


def test_a_second_process_is_refused_by_name(url: str) -> None:
    """The message names the process that holds the state; once that is killed with -9 the state is free at once."""
    with holder(url) as child:
        with pytest.raises(StateLocked, match=f"process {child.pid}: stop that process"):
            open_store(url)
        child.send_signal(signal.SIGKILL)
        child.wait()
        open_store(url).close()


def test_the_same_process_is_refused_as_well(url: str) -> None:
    """Two stores on one state in one process would be as bad as in two; closing the first makes room."""
    store = open_store(url)
    with pytest.raises(StateLocked, match=f"process {os.getpid()}"):
        open_store(url)
    store.close()
    open_store(url).close()


def test_a_holder_without_a_name_is_another_process(tmp_path: Path) -> None:
    """Between taking the lock and writing its number the holder is unknown."""
    path = tmp_path / "lock"
    lock = StateLock(path)
    path.write_text("")
    with pytest.raises(StateLocked, match="held by another process"):
        StateLock(path)
    lock.release()


def test_a_failed_opening_lets_go_of_the_lock(url: str, tmp_path: Path) -> None:
    """A state that cannot be opened is not held."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "watcher.db").write_bytes(b"not a database" * 100)
    for _ in range(2):
        with pytest.raises(StoreError, match="is damaged"):
            open_store(url)


# ── reading beside the daemon ────────────────────────────────────────────────────────────────────────────────────────


def test_others_read_while_the_daemon_writes(url: str) -> None:
    """A reader beside the daemon sees each commit, and stays able to read after the daemon is gone."""
    store = open_store(url)
    firing = entry("a", 1, State.FIRING)
    reader = open_readonly(url)
    assert reader.transitions() == []
    store.commit(Commit(points=[column({T0: 0.5})], transitions=[firing], obligations=[owed(firing)]))
    assert reader.transitions() == [firing]
    assert reader.series() == [FREEZE]
    store.close()
    assert reader.open_obligations("slack") == [owed(firing)]
    reader.close()
    alone = open_readonly(url)
    assert alone.obligations() == [owed(firing)]
    alone.close()


def test_a_reader_cannot_write(url: str) -> None:
    """The file itself is opened for reading."""
    open_store(url).close()
    database = Database(state_path(url), readonly=True)
    with pytest.raises(StoreError, match="readonly"), database.transaction() as tx:
        tx.run("DELETE FROM spends")
    database.close()


def test_a_reader_makes_no_file(url: str, tmp_path: Path) -> None:
    """A state that does not exist is a clear error, and still does not exist afterwards."""
    with pytest.raises(StoreError, match=r"watcher\.db does not exist: start the daemon once"):
        open_readonly(url)
    assert list(tmp_path.iterdir()) == []


# ── versions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_newer_state_is_refused(url: str) -> None:
    """A state of a later release is not touched, by the daemon or a reader."""
    open_store(url).close()
    with closing(sqlite3.connect(state_path(url))) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    for opening in (open_store, open_readonly):
        with pytest.raises(
            StoreError, match=r"watcher\.db was written by a newer release \(schema 4, this one knows 3"
        ):
            opening(url)


def test_an_older_state_is_not_read_before_it_is_migrated(url: str) -> None:
    """A reader does not write, so it cannot bring the state up to date."""
    state_path(url).parent.mkdir()
    sqlite3.connect(state_path(url)).close()
    state_path(url).touch()
    with pytest.raises(StoreError, match="older release"):
        open_readonly(url)


def test_a_database_of_another_program_is_refused(url: str) -> None:
    """It stays as it is."""
    state_path(url).parent.mkdir()
    with closing(sqlite3.connect(state_path(url))) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = state_path(url).read_bytes()
    with pytest.raises(StoreError, match="another program"):
        open_store(url)
    assert state_path(url).read_bytes() == before


def test_a_state_of_version_one_is_brought_up_to_date(url: str) -> None:
    """What it holds is there afterwards, points packed by the hour, and what version two adds can be used."""
    path = state_path(url)
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:1])
        body = to_text(entry("a", 1, State.FIRING))
        connection.execute(
            "INSERT INTO transitions (alert_id, seq, state, at, known_at, body) VALUES ('a', 1, 'firing', ?, ?, ?)",
            (T0, float(T0), body),
        )
        connection.execute(
            "INSERT INTO obligations (id, target, alert_id, seq, created_at, route, state)"
            " VALUES ('a-1-slack', 'slack', 'a', 1, ?, '{}', 'open')",
            (float(T0),),
        )
        connection.execute("INSERT INTO series VALUES (1, 'acme', 'agora', 'classroom', 'Native', '', 'users', 20)")
        kept = [(T0 + 20 * i, i / 3, None if i % 2 else float(i)) for i in range(400)]
        connection.executemany("INSERT INTO points VALUES (1, ?, ?, ?)", kept)
    store = open_store(url)
    points = store.points(Series("acme", "agora", "classroom", "Native", "", "users"), T0 + 20)
    assert points is not None
    assert points.weight is not None
    found = zip(points.start.tolist(), points.value.tolist(), points.weight.tolist(), strict=True)
    assert [(start, value, None if math.isnan(weight) else weight) for start, value, weight in found] == kept[1:]
    assert [o.id for o in store.open_obligations("slack")] == ["a-1-slack"]
    assert [s.latest.id for s in store.standing("slack")] == ["a-1-slack"]
    store.commit(Commit(acks=[Ack(alert_id="a", seq=1, author="kim", comment="", at=1.0)]))
    assert len(store.acks()) == 1
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_packing_that_is_cut_short_goes_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that dies between two series: readers are told to wait, and the next start packs the rest, once."""
    path = state_path(url)
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, MIGRATIONS[:2])
        for number in range(3):
            row = (number, "acme", "agora", "classroom", "Native", f"c{number}", "users", 20)
            connection.execute("INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            rows = [(number, T0 + 20 * i, float(number)) for i in range(400)]
            connection.executemany("INSERT INTO points VALUES (?, ?, ?, NULL)", rows)
    pack = packing._pack

    def dies(connection: sqlite3.Connection, series: int) -> None:
        pack(connection, series)
        if series == 1:
            raise StoreError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(packing, "_pack", dies)
        with pytest.raises(StoreError, match="killed"):
            open_store(url)
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT series_id, count(*) FROM points GROUP BY series_id").fetchall()
        assert found == [(1, 400), (2, 400)]
        assert connection.execute("SELECT DISTINCT series_id FROM hours").fetchall() == [(0,)]
    with pytest.raises(StoreError, match="brought up to date by the daemon"):
        open_readonly(url)
    with closing(open_store(url)) as store:
        for number in range(3):
            points = store.points(Series("acme", "agora", "classroom", "Native", f"c{number}", "users"), 0)
            assert points is not None
            assert points.start.tolist() == [T0 + 20 * i for i in range(400)]
            assert set(points.value.tolist()) == {float(number)}
    with closing(open_readonly(url)) as reader:
        assert len(reader.series()) == 3


def test_migrations_are_whole_and_in_order() -> None:
    """Each version is one transaction: one that fails halfway leaves the version before it, and runs again later."""
    first = ("CREATE TABLE a (x)", "INSERT INTO a VALUES (1)")
    broken = ("INSERT INTO a VALUES (2)", "INSERT INTO nowhere VALUES (3)")
    mended = ("INSERT INTO a VALUES (2)", "CREATE TABLE b (x)")
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, [first, broken])
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT x FROM a").fetchall() == [(1,)]
        migrate(connection, [first, mended])
        migrate(connection, [first, mended])
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT x FROM a").fetchall() == [(1,), (2,)]


# ── disks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

FULL_DISK = """
import resource, sys
from watcher.errors import StoreError
from watcher.model import Spend
from watcher.store import open_store

store = open_store(sys.argv[1])
store.record_spend(Spend(id="before", account="acme", pools=("p",), at=1.0, skew=5.0))
resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))
refused = 0
for number in range(200):
    try:
        store.record_spend(Spend(id=f"s{number}", account="acme", pools=("p" * 4000,), at=2.0, skew=5.0))
    except StoreError as error:
        refused += 1
        message = str(error)
recorded = len(store.spends("acme", 0.0))
assert refused and recorded == 201 - refused, (refused, recorded)
try:
    store.probe()
except StoreError:
    print("probe refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.probe()
store.record_spend(Spend(id="after", account="acme", pools=("p",), at=3.0, skew=5.0))
assert len(store.spends("acme", 0.0)) == recorded + 1
store.close()
print(message)
"""


def test_a_full_disk_refuses_and_recovers(url: str) -> None:
    """What could not be written is a StoreError and not there; `probe` says so; with space again the store goes on."""
    done = subprocess.run([sys.executable, "-c", FULL_DISK, url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("probe refused\n")
    assert str(state_path(url)) in done.stdout
    store = open_store(url)
    assert {s.id for s in store.spends("acme", 0.0)} >= {"before", "after"}
    store.close()
    with closing(sqlite3.connect(state_path(url))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_sqlites_full_disk_is_said_in_words(tmp_path: Path) -> None:
    """The remedy stands in the message."""
    database = Database(tmp_path / "s.db", readonly=False)
    database.rows("PRAGMA max_page_count = 1")
    with (
        pytest.raises(StoreError, match=f"the disk is full: free space under {tmp_path}"),
        database.transaction() as tx,
    ):
        tx.run("INSERT INTO notes VALUES ('a', 'k', ?)", ("x" * 100_000,))
    database.close()


READ_ONLY = """
import os, sys
from watcher.errors import StoreError
from watcher.store import open_readonly, open_store
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
try:
    open_store(sys.argv[1])
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_folder_or_file_that_cannot_be_written_says_so(what: str) -> None:
    """The user of the service may not write: the message names the place and what it must be."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder}/s.db"
        if what == "file":
            open_store(url).close()
            (folder / "s.db.lock").chmod(0o666)
            (folder / "s.db").chmod(0o444)
        folder.chmod(0o555)
        done = subprocess.run([sys.executable, "-c", READ_ONLY, url], capture_output=True, text=True, check=False)
        folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert f"{folder} must be a folder that this user may write to" in done.stdout


def test_a_path_below_a_file_says_so(tmp_path: Path) -> None:
    """What stands where the folder should be is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="must be a folder"):
        open_store(f"sqlite:///{tmp_path}/file/state.db")


def test_a_damaged_file_says_what_to_do(url: str) -> None:
    """Overwritten pages are found when they are read, and never taken for data."""
    store = open_store(url)
    for alert in range(400):
        store.commit(Commit(transitions=[entry(f"a{alert}", 1, State.FIRING)]))
    store.close()
    raw = bytearray(state_path(url).read_bytes())
    raw[4096 * 4 :] = b"\xff" * (len(raw) - 4096 * 4)
    state_path(url).write_bytes(raw)
    with pytest.raises(StoreError, match=r"is damaged: stop the daemon, move the file"):
        read_all(url)


def test_a_record_edited_by_hand_is_an_error(url: str) -> None:
    """A body that is no longer a record is refused rather than half read."""
    store = open_store(url)
    store.commit(Commit(transitions=[entry("a", 1, State.FIRING)]))
    store.close()
    with closing(sqlite3.connect(state_path(url))) as connection:
        connection.execute("UPDATE transitions SET body = replace(body, 'firing', 'burning')")
        connection.commit()
    with pytest.raises(StoreError, match="cannot be read"):
        read_all(url)


def read_all(url: str) -> None:
    """Read every transition of a state."""
    reader = open_readonly(url)
    try:
        reader.transitions()
    finally:
        reader.close()


def test_a_foreign_writer_is_waited_for_and_then_named(url: str) -> None:
    """A shell that holds the write lock makes a commit wait for seconds, then fail with the cause; then all is well."""
    store = open_store(url)
    with closing(sqlite3.connect(state_path(url), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program holds"):
            store.probe()
        other.execute("ROLLBACK")
    store.probe()
    store.close()


def test_threads_take_turns(url: str) -> None:
    """Eight threads at once: every spend is recorded, none is refused."""
    store = open_store(url)
    failures: list[StoreError] = []

    def spend(thread: int) -> None:
        try:
            for number in range(40):
                store.record_spend(Spend(id=f"{thread}-{number}", account="acme", pools=("p",), at=1.0, skew=5.0))
                store.spends("acme", 2.0)
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=spend, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.spends("acme", 0.0)) == 320
    store.close()
