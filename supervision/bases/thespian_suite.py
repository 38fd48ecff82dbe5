"""Which of Thespian's own tests run on LoopBase, and for each that does not, why.

The tests ship in Thespian's wheel (`thespian/test/test_*.py`, 4.0.1). `tests/supervision/bases/` runs them in
processes of their own (Thespian's source loader rebinds `builtins.__import__`) and holds them against these tables.
"""

from __future__ import annotations

import sys
from types import ModuleType

from supervision.bases.loop import LoopBase

BASE_NAME = "loopBase"
IN_PROCESS_NAME = "simpleSystemBase"

MODULES: tuple[tuple[str, ...], ...] = (
    # Shards that run side by side: these tests mostly sleep.
    (
        "test_actorFailures",
        "test_actors",
        "test_actorAdder",
        "test_actorAddressPassing",
        "test_actorSignals",
        "test_actorSysAPI",
        "test_actorSystemRestart",
        "test_badStartupMessage",
        "test_badmessage",
        "test_bigmessages",
        "test_commonCapabilities",
        "test_createActor",
        "test_director",
        "test_generators",
        "test_globalName",
        "test_HAConvention",
    ),
    (
        "test_deadLettering",
        "test_initmsgs",
        "test_ipbase",
        "test_load",
        "test_manyActorSystems",
        "test_msg_ChildExited",
        "test_msg_ConventionUpdate",
        "test_msg_DeadEnvelope",
        "test_msg_ExitRequest",
        "test_msg_Poison",
        "test_msg_ValidateSource",
        "test_msg_ValidatedSource",
        "test_msg_Wakeup",
        "test_multipleActorSystems",
        "test_poisonMessage",
        "test_preRegistration",
        "test_requireCapability",
    ),
    ("test_runcommand", "test_threadedExternal"),
    (
        "test_simpleActor",
        "test_stats",
        "test_systemMessages",
        "test_threadedActor",
        "test_timing",
        "test_transient",
        "test_typeDispatcher",
        "test_updateSystemCapabilities",
        "test_wakeup",
        "test_withpossibleargs",
    ),
    ("test_sourceLoading",),
    ("test_troupe",),
)
"""Every test module of the wheel, in shards."""

_SEVERAL_SYSTEMS = "several actor systems in a convention: one LoopBase is one system; cells are joined by links"

EXCLUDED_FIXTURES: dict[str, str] = {
    "asys2": _SEVERAL_SYSTEMS,
    "asys_pair": _SEVERAL_SYSTEMS,
    "asys_trio": _SEVERAL_SYSTEMS,
    "testsystems": _SEVERAL_SYSTEMS,
}
"""Tests that ask for one of these fixtures do not run."""

EXCLUDED: dict[str, str] = {
    "test_timing::test_expiration_timer": (
        "measures Thespian's own stopwatch by sleeping: nothing of LoopBase is in it, and a busy machine fails it"
    ),
    "test_threadedExternal::TestFuncThreadedExternal::test_multiple_threads_private_context[loopBase-10]": (
        "6.2 s of time.sleep in handlers, one after the other in one thread; it joins its first thread for 5 s, and "
        "fails when that one ends last"
    ),
    "test_manyActorSystems::TestFuncConvention": _SEVERAL_SYSTEMS,
    "test_runcommand::TestRunCommand::testCommandAbort": (
        "needs ThespianWatch: without it (as on simpleSystemBase) RunCommand blocks its thread until the command ends"
    ),
}
"""Single tests that do not run, as ``module::[Class::]test[parameters]`` (a prefix is enough)."""

SLOW: dict[str, str] = {
    "test_troupe::testSmallHive": "27 s of time.sleep in handlers, one after the other in one thread",
    "test_threadedExternal::TestFuncThreadedExternal::test_multiple_threads_private_context[loopBase-100": (
        "70 s of time.sleep in handlers, one after the other in one thread"
    ),
    "test_threadedExternal::TestFuncThreadedExternal::test_multiple_threads_private_context_ask[loopBase-100": (
        "as above"
    ),
}
"""Tests that run only when asked for (LOOPBASE_SLOW=1)."""

SKIP_THEMSELVES: dict[str, str] = {
    "test_actorSignals::TestFuncMultiProcActorSignals": "signals to actors need actors that are processes",
    "test_sourceLoading::TestFuncLoadSource::test02_verifyAllOLDSTYLERelativeImportPossibilities": "Python 2 imports",
}
"""Tests that Thespian's authors skip by themselves here."""

AS_IN_PROCESS: frozenset[str] = frozenset(
    {
        "test_sourceLoading::TestFuncLoadSource::test05_verifyUnloadOfHashedSourceDoesNotKillActiveActors",
        "test_sourceLoading::TestFuncLoadSource::test07_sourceAuthorityExceptions",
    }
)
"""Tests that ask by name whether the base shares its caller's process; they get ours under the name of theirs."""


def register() -> str:
    """Make `ActorSystem("loopBase")` work; returns that name."""
    module = ModuleType(f"thespian.system.{BASE_NAME}")
    module.ActorSystemBase = LoopBase  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    return BASE_NAME


def reason_not_to_run(test_id: str, fixtures: list[str], *, slow_too: bool = False) -> str | None:
    """Why this test is not run on LoopBase; None when it is."""
    for prefix, reason in (EXCLUDED if slow_too else EXCLUDED | SLOW).items():
        if test_id.startswith(prefix):
            return reason
    return next((EXCLUDED_FIXTURES[name] for name in fixtures if name in EXCLUDED_FIXTURES), None)
