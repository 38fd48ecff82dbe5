from typing import Any, TextIO

from thespian.actors import ActorAddress, ActorSystemMessage

class Thespian_StatusReq(ActorSystemMessage): ...

class _Common_StatusResp(ActorSystemMessage):
    pendingMessages: list[tuple[ActorAddress, ActorAddress, str]]
    pendingWakeups: list[tuple[ActorAddress, Any]]
    receivedMessages: list[tuple[ActorAddress, ActorAddress, str]]
    childActors: list[ActorAddress]
    miscKeyVals: dict[str, Any]
    def addChild(self, childAddress: ActorAddress) -> None: ...
    def addPendingMessage(self, fromActor: ActorAddress, toActor: ActorAddress, msgstr: object) -> None: ...
    def addWakeups(self, wakeups_list: list[tuple[ActorAddress, Any]]) -> None: ...
    def addSent(self, count: int) -> None: ...
    def addReceived(self, count: int) -> None: ...
    def addKeyVal(self, key: str, value: object) -> None: ...

class Thespian_SystemStatus(_Common_StatusResp):
    adminAddress: ActorAddress
    capabilities: dict[str, Any]
    deadLetterHandler: ActorAddress | None
    sourceAuthority: ActorAddress | None
    globalActors: dict[str, ActorAddress]
    inShutdown: bool
    def __init__(
        self,
        address: ActorAddress,
        conventionLeader: ActorAddress | None = None,
        capabilities: dict[str, Any] | None = None,
        inShutdown: bool = False,
    ) -> None: ...
    def addGlobalActor(self, name: str, address: ActorAddress) -> None: ...
    def setDeadLetterHandler(self, address: ActorAddress | None) -> None: ...

class Thespian_ActorStatus(_Common_StatusResp):
    actorAddress: ActorAddress
    actorClass: str
    adminAddress: ActorAddress
    parentAddress: ActorAddress | None
    sourceHash: str | None
    exiting: bool | None
    def __init__(
        self,
        address: ActorAddress,
        actorClass: object,
        adminAddress: ActorAddress,
        parentAddress: ActorAddress | None = None,
        sourceHash: str | None = None,
        exiting: bool | None = None,
    ) -> None: ...

def formatStatus(response: _Common_StatusResp, showAddress: Any = ..., tofd: TextIO | None = None) -> None: ...
