"""Fuzz targets by coverage: ``campaign.py TARGET... --corpus DIR [--recordings FILE...] [libFuzzer options]``.

Starts from the target's seeds (and messages of recordings, when they are named) and keeps what it learns in the corpus.
Python is instrumented, C is not: the native codec runs beside the Python one and must agree with it. A finding ends
the run with a traceback and leaves its bytes as ``crash-*`` in the corpus's folder. Of several targets each has a
process and a corpus of its own, ``DIR/TARGET``, and says what it has to say in ``DIR/TARGET.log``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import traceback
from itertools import islice
from pathlib import Path
from random import Random

import atheris

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2])]

with atheris.instrument_imports(include=["adapters", "trading"]):
    import fuzz_targets

from fuzz_mutations import mutate  # noqa: E402 - after the path is set and the codecs are instrumented

from adapters.recordings import Recorded, read_recording  # noqa: E402 - as above

RECORDED_MESSAGES = 400
RECORDED_BYTES = 8_000
PLAIN_SHARE = 0.25
"""How often libFuzzer's own byte mutations are used instead of ours."""


def recorded(paths: list[Path]) -> list[bytes]:
    """Messages of recordings, spread over the first hundred thousand of each file; the largest are left out."""
    found: dict[bytes, None] = {}
    for path in paths:
        lines = islice(read_recording(path), 0, 100_000)
        payloads = [one.payload for one in lines if isinstance(one, Recorded) and 2 < len(one.payload) < RECORDED_BYTES]
        found.update(dict.fromkeys(payloads[:: max(1, len(payloads) // RECORDED_MESSAGES)]))
    return list(found)


def plant(corpus: Path, cases: list[bytes]) -> None:
    """Write the cases into the corpus, each once."""
    corpus.mkdir(parents=True, exist_ok=True)
    for case in cases:
        (corpus / hashlib.sha256(case).hexdigest()[:24]).write_bytes(case)


def changed(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's custom mutator."""
    rng = Random(seed)
    if rng.random() < PLAIN_SHARE:
        return atheris.Mutate(data, max_size)
    return mutate(bytes(data), rng)[:max_size]


def main() -> None:
    """Fuzz each until libFuzzer's limits (``-runs``, ``-max_total_time``) or a finding; exit code 1 after any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="+", choices=sorted(fuzz_targets.TARGETS))
    told = parser.add_mutually_exclusive_group(required=True)
    told.add_argument("--corpus", type=Path, help="where what is learned is kept")
    told.add_argument("--case", type=Path, help="tell the target one case, as a finding left it, and no more")
    parser.add_argument("--recordings", type=Path, nargs="*", default=[])
    chosen, options = parser.parse_known_args()
    if chosen.case is not None:
        for name in chosen.targets:
            fuzz_targets.TARGETS[name][0](chosen.case.read_bytes())
        return
    more = recorded(chosen.recordings)
    if len(chosen.targets) == 1:
        fuzz(chosen.targets[0], chosen.corpus, more, options)
    chosen.corpus.mkdir(parents=True, exist_ok=True)
    codes = [apart(name, chosen.corpus, more, options) for name in chosen.targets]
    sys.exit(int(any(codes)))


def fuzz(name: str, corpus: Path, more: list[bytes], options: list[str]) -> None:
    """Fuzz one target; libFuzzer ends the process."""
    plant(corpus, [*fuzz_targets.cases(name), *more])
    defaults = ["-max_len=65536", "-timeout=20", "-rss_limit_mb=1500", f"-artifact_prefix={corpus}/../"]
    target, _ = fuzz_targets.TARGETS[name]
    atheris.Setup([sys.argv[0], *defaults, *options, str(corpus)], target, custom_mutator=changed)
    atheris.Fuzz()


def apart(name: str, folder: Path, more: list[bytes], options: list[str]) -> int:
    """Fuzz one target in a process that has all that is instrumented already; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    try:
        fuzz(name, folder / name, more, options)
    except Exception:
        traceback.print_exc()
    os._exit(70)


if __name__ == "__main__":
    main()
