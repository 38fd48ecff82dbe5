"""Workers of a command do not outlive it, however it ends."""

import asyncio
import os
import sys

import pytest

from tests.waiting import until

BOSS = """
import multiprocessing, os, signal
from concurrent.futures import ProcessPoolExecutor
from supervision.parent import die_with_parent
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=die_with_parent, initargs=(os.getpid(),)) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(signal.pause)
        signal.pause()
"""


def _is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word to children is Linux's")
async def test_a_worker_ends_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "boss.py"
    script.write_text(BOSS)
    boss = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=asyncio.subprocess.PIPE)
    try:
        worker = int(await boss.stdout.readline())
    finally:
        boss.kill()
        await boss.wait()
    await until(lambda: not _is_there(worker), "the end of the worker")
