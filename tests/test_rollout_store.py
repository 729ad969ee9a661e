"""A rollout's state in files and in a real PostgreSQL: one writer, any reader, nothing lost."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rollout_made import postgres
from test_rollout_machine import first, plan

from qdhil.errors import ConfigurationError, RecordFault, RefusedError
from qdhil.rollout.plan import Plan, load_plan
from qdhil.rollout.state import Hold, JournalEntry, RolloutState
from qdhil.rollout.store import Store, open_store


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="qdhil-pg-") as folder, postgres(Path(folder)) as conninfo:
        yield conninfo


class Stores:
    """Connections to one store, each as another process would have it."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self.stack = ExitStack()

    def open(self, name: str = "r1") -> Store:
        return self.stack.enter_context(open_store(self.plan.model_copy(update={"name": name}), self.folder))


@pytest.fixture(params=["file", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    state: dict[str, Any] = {"kind": "file", "folder": "state"}
    if request.param == "postgres":
        schema = f"t{abs(hash(request.node.name))}"
        state = {"kind": "postgres", "conninfo": request.getfixturevalue("database"), "table_schema": schema}
    made = Stores(tmp_path, Plan.model_validate(plan().model_dump() | {"state": state}))
    with made.stack:
        yield made


def state_at(revision: int) -> RolloutState:
    return first(plan()).model_copy(update={"revision": revision})


def entry(revision: int, what: str = "as it was") -> JournalEntry:
    return JournalEntry(revision=revision, time="now", what=what)


def test_nothing_is_there_before_the_start(stores: Stores) -> None:
    store = stores.open()
    assert (store.load(), store.journal(), store.wished(), store.is_held()) == (None, [], None, False)


def test_what_is_saved_is_read_by_anybody(stores: Stores) -> None:
    with stores.open().held():
        pass
    writer, reader = stores.open(), stores.open()
    with writer.held():
        for revision in range(3):
            writer.save(state_at(revision), entry(revision))
            writer.note(entry(revision, "intent"))
            assert reader.load() == state_at(revision)
        assert reader.is_held()
    assert not reader.is_held()
    assert [(it.revision, it.what) for it in reader.journal()] == [
        (revision, what) for revision in range(3) for what in ("as it was", "intent")
    ]


def test_one_process_at_a_time(stores: Stores) -> None:
    one, two = stores.open(), stores.open()
    with one.held():
        with pytest.raises(ConfigurationError, match="another process"), two.held():
            pass
        with stores.open("r2").held():
            pass  # another rollout is free
    with two.held():
        pass


def test_wishes(stores: Stores) -> None:
    engine, person = stores.open(), stores.open()
    with engine.held():
        engine.save(state_at(0), entry(0))
        person.wish("pause")
        assert engine.wished() == "pause"
        engine.save(state_at(1), entry(1))  # a save takes no wish away
        person.wish("abort-all")
        assert engine.wished() == "abort-all"
        engine.wish(None)
        assert person.wished() is None


def test_a_nonce_belongs_to_one_rollout(stores: Stores) -> None:
    one, two = stores.open("r1"), stores.open("r2")
    two.check_unused("aa")
    for _ in range(2):
        one.claim_nonce("aa", "first")
    with pytest.raises(RefusedError, match="another rollout"):
        two.check_unused("aa")
    with pytest.raises(RefusedError, match="another rollout"):
        two.claim_nonce("aa", "second")
    two.check_unused("bb")
    two.claim_nonce("bb", "second")


def test_a_process_that_was_killed_leaves_the_rollout_free(stores: Stores) -> None:
    with stores.open().held():
        pass
    code = (
        "import sys, time; from pathlib import Path\n"
        "from qdhil.rollout.plan import Plan; from qdhil.rollout.store import open_store\n"
        "plan = Plan.model_validate_json(sys.argv[1])\n"
        "with open_store(plan, Path(sys.argv[2])) as store, store.held():\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, stores.plan.model_dump_json(), str(stores.folder)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"held\n"
        store = stores.open()
        assert store.is_held()
        process.kill()
        process.wait()
    for _ in range(100):
        if not store.is_held():
            break
    with store.held():
        store.save(state_at(0), entry(0))


def test_state_survives_as_it_is(stores: Stores) -> None:
    store = stores.open()
    held = state_at(0).model_copy(update={"held": Hold(reason="ring é: no", exit_code=30)})
    with store.held():
        store.save(held, entry(0))
    assert stores.open().load() == held


def test_a_line_that_a_power_failure_cut_off(stores: Stores) -> None:
    if stores.plan.state.kind != "file":
        pytest.skip("the database's own business")
    store = stores.open()
    with store.held():
        store.save(state_at(0), entry(0))
        with (stores.folder / "state" / "r1.journal.jsonl").open("a") as stream:
            stream.write('{"revision": 1, "ti')
        store.save(state_at(1), entry(1))
    assert [it.revision for it in store.journal()] == [0, 1]


def test_a_state_that_can_not_be_read(stores: Stores) -> None:
    if stores.plan.state.kind != "file":
        pytest.skip("the database's own business")
    store = stores.open()
    with store.held():
        (stores.folder / "state" / "r1.state.json").write_text("{}")
        with pytest.raises(ConfigurationError, match="rollout state"):
            store.load()
    (stores.folder / "state" / "r1.wish").write_text("what?")
    assert store.wished() == "pause"


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with open_store(plan(), tmp_path) as store, pytest.raises(RecordFault):
        store.save(state_at(0), entry(0))


def test_a_process_whose_connection_broke_writes_nothing_more(database: str, tmp_path: Path) -> None:
    import psycopg

    state = {"kind": "postgres", "conninfo": database, "table_schema": "fence"}
    made = Stores(tmp_path, Plan.model_validate(plan().model_dump() | {"state": state}))
    with made.stack:
        one, two = made.open(), made.open()
        with one.held():
            one.save(state_at(0), entry(0))
            with psycopg.connect(database, autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE application_name = 'qdhil rollout'"
                    " AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
                )
            with two.held():
                two.save(state_at(1), entry(1))
            with pytest.raises(RecordFault):
                one.save(state_at(2), entry(2))
        assert two.load() == state_at(1)


def test_a_fence_shuts_out_who_lost_the_lock(database: str, tmp_path: Path) -> None:
    state = {"kind": "postgres", "conninfo": database, "table_schema": "fence2"}
    made = Stores(tmp_path, Plan.model_validate(plan().model_dump() | {"state": state}))
    with made.stack:
        one, two = made.open(), made.open()
        with one.held():
            one.save(state_at(0), entry(0))
            # the lock is gone without the connection, as behind a pooler
            one._connection.execute("SELECT pg_advisory_unlock_all()")  # type: ignore[attr-defined] # noqa: SLF001
            with two.held():
                with pytest.raises(RecordFault, match="taken it over"):
                    one.save(state_at(1), entry(1, "late"))
                assert [it.what for it in two.journal()] == ["as it was"]


@pytest.mark.parametrize(
    "conninfo", ["host=h password=secret", "postgresql://u:secret@h/db", "postgresql://h/db?password=secret"]
)
def test_no_password_in_a_plan(tmp_path: Path, conninfo: str) -> None:
    file = tmp_path / "rollout.toml"
    file.write_text(
        'schema_version = 1\nname = "r"\ncandidate = "2"\nbaseline = "1"\nbundles = "b"\nhardware = ["x"]\n'
        f'policy_sha256 = "{"c" * 64}"\n[state]\nkind = "postgres"\nconninfo = "{conninfo}"\n'
        '[fleet]\nkind = "rigs"\nrack = "r"\n[[rings]]\nname = "c"\ndevices = ["d"]\nbake_time_s = 0\n'
    )
    with pytest.raises(ConfigurationError, match="no password") as caught:
        load_plan(file)
    assert "secret" not in str(caught.value)


def test_no_database(tmp_path: Path) -> None:
    state = {"kind": "postgres", "conninfo": f"host={tmp_path} dbname=none connect_timeout=2"}
    made = Plan.model_validate(plan().model_dump() | {"state": state})
    with pytest.raises(ConfigurationError, match="database"), open_store(made, tmp_path):
        pass


def test_without_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    made = Plan.model_validate(plan().model_dump() | {"state": {"kind": "postgres", "conninfo": "host=h"}})
    with pytest.raises(ConfigurationError, match="psycopg"), open_store(made, tmp_path):
        pass


def test_a_line_of_the_journal_holds_what_others_take_for_an_end_of_line(stores: Stores) -> None:
    store = stores.open()
    said = entry(0).model_copy(update={"outcome": "a\u2028b\x85c\x0bd\ne"})
    with store.held():
        store.save(state_at(0), said)
    assert store.journal() == [said]


def test_no_name_of_a_rollout_is_in_the_way_of_the_nonces(stores: Stores) -> None:
    store = stores.open("nonces")
    with store.held():
        store.claim_nonce("aa", "first")


@pytest.mark.parametrize("what", ["note", "nonce"])
def test_a_disk_that_takes_a_part_of_a_line(tmp_path: Path, what: str) -> None:
    """The limit of a process on the size of a file stands for the disk: the last write is a part of a line."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from qdhil.rollout.state import JournalEntry; from qdhil.rollout.store_file import FileStore\n"
        "from qdhil.errors import RecordFault\n"
        "store = FileStore(Path(sys.argv[1]), 'r1')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))\n"
        "try:\n"
        "    if sys.argv[2] == 'note': store.note(JournalEntry(revision=0, time='now', what='intent'))\n"
        "    else: store.claim_nonce('aa', 'f' * 32)\n"
        "except RecordFault as fault: print(fault)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), what], capture_output=True, text=True, check=False
    )
    assert "a part of a line only" in ended.stdout, ended


def test_nonces_that_a_disk_damaged(tmp_path: Path) -> None:
    with open_store(plan(), tmp_path) as store:
        store.claim_nonce("aa", "first")
        file = tmp_path / "state" / "nonces"
        file.write_bytes(file.read_bytes() + b"\xff\xfe\n\x00")
        with pytest.raises(RefusedError, match="another rollout"):
            store.claim_nonce("aa", "second")
        store.claim_nonce("bb", "second")


def test_anybody_may_look(stores: Stores, tmp_path: Path) -> None:
    """Whoever may read, and not write; two who look at once do not take each other for an engine."""
    if stores.plan.state.kind != "file":
        pytest.skip("the database's own business")
    store, folder = stores.open(), tmp_path / "state"
    with store.held():
        store.save(state_at(0), entry(0))
    before = sorted(folder.iterdir())
    with (folder / "r1.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not store.is_held()
    (folder / "r1.lock").chmod(0o444)
    code = (
        "import os, sys; from pathlib import Path; from qdhil.rollout.store_file import FileStore\n"
        "os.chdir(sys.argv[1])\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "store = FileStore(Path('.'), 'r1'); print(store.is_held(), store.load() is None)\n"
        "try:\n    with store.held(): pass\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    folder.chmod(0o555)
    ended = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    folder.chmod(0o755)
    assert ended.stdout.split() == ["False", "False", "RecordFault"], ended
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("until", ["yesterday", "2026-11-23T12:00:00"])
def test_a_time_that_is_none_is_no_state(stores: Stores, until: str) -> None:
    if stores.plan.state.kind != "file":
        pytest.skip("the database's own business")
    store, file = stores.open(), stores.folder / "state" / "r1.state.json"
    with store.held():
        store.save(state_at(0), entry(0))
    file.write_text(file.read_text().replace('"baking_until": null', f'"baking_until": "{until}"'))
    with pytest.raises(ConfigurationError, match="baking_until"):
        store.load()
