"""The store of keys: one of many who ask at once is the first, whatever dies meanwhile, for a day."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from adapters.idempotency import DAY_NS, KEY_CHARS_MAX, IdempotencyStore, TooManyKeysError
from tests.waiting import PATIENCE_S

NOW = 1_790_000_000_000_000_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "operations.db"


@pytest.fixture
def store(path):
    made = IdempotencyStore(path, patience_s=PATIENCE_S)
    yield made
    made.close()


@pytest.mark.req("C-EXEC-8")
def test_a_key_is_new_once_a_day_and_keeps_its_answer(store):
    assert store.check_and_store("k", now_ns=NOW, digest="d") is None
    again = store.check_and_store("k", now_ns=NOW + DAY_NS - 1)
    assert (again.first_ns, again.digest, again.answer) == (NOW, "d", None)
    store.keep_answer("k", b"done")
    assert store.check_and_store("k", now_ns=NOW + 1).answer == b"done"
    assert store.suppressed == 2
    assert store.check_and_store("k", now_ns=NOW + DAY_NS) is None, "a day later it may be asked anew"
    assert store.check_and_store("k", now_ns=NOW + DAY_NS).answer is None


def test_what_was_not_carried_out_may_be_asked_anew(store):
    assert store.check_and_store("k", now_ns=NOW) is None
    store.forget("k")
    assert store.check_and_store("k", now_ns=NOW) is None


@pytest.mark.req("C-EXEC-8")
def test_of_many_threads_that_ask_at_once_one_is_the_first(store, path):
    first, ready = [], threading.Barrier(8)
    others = [IdempotencyStore(path, patience_s=PATIENCE_S) for _ in range(2)]

    def ask(n):
        ready.wait()
        asked = [store, *others][n % 3]
        first.extend(key for key in range(20) if asked.check_and_store(f"k{key}", now_ns=NOW) is None)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert sorted(first) == list(range(20))


@pytest.mark.req("C-EXEC-8")
def test_a_process_that_is_killed_after_it_asked_has_asked(path):
    killed = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from adapters.idempotency import IdempotencyStore\n"
        f"assert IdempotencyStore(Path(sys.argv[1])).check_and_store('k', now_ns={NOW}) is None\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(path)], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    store = IdempotencyStore(path)
    assert store.check_and_store("k", now_ns=NOW + 1).first_ns == NOW
    store.close()


def test_there_is_room_for_so_many_keys_and_the_oldest_go_with_their_time(path):
    store = IdempotencyStore(path, keys_max=3)
    for n in range(3):
        assert store.check_and_store(f"k{n}", now_ns=NOW + n) is None
    with pytest.raises(TooManyKeysError):
        store.check_and_store("k3", now_ns=NOW)
    assert store.check_and_store("k2", now_ns=NOW) is not None, "those that are there are known"
    assert store.check_and_store("k3", now_ns=NOW + DAY_NS) is None
    for key in ("", "x" * (KEY_CHARS_MAX + 1)):
        with pytest.raises(ValueError, match="characters"):
            store.check_and_store(key, now_ns=NOW)
    store.close()
