from typing import Any

class IPActorAddress:
    sockname: Any
    bindname: Any
    bindArgs: Any
    connectArgs: Any
    socketArgs: Any
