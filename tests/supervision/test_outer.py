"""The admin's port: whoever starts a failed desk again waits for it, for so long and no longer."""

from __future__ import annotations

import socket
import threading

import pytest

from supervision.outer import wait_free
from tests.waiting import PATIENCE_S, free_port


def test_a_port_that_is_let_go_in_time_is_waited_for():
    port, freed = free_port(), threading.Event()
    with socket.create_server(("127.0.0.1", port)):
        waiting = threading.Thread(target=lambda: (wait_free(port, PATIENCE_S), freed.set()), daemon=True)
        waiting.start()
        assert not freed.wait(0.1)
    assert freed.wait(PATIENCE_S)
    waiting.join()


def test_a_port_that_somebody_keeps_is_an_error():
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        for patience_s in (0.0, 0.05):
            with pytest.raises(OSError, match="in use"):
                wait_free(port, patience_s)
    wait_free(port, 0.0)
