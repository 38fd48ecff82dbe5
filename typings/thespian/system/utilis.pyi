from collections.abc import Callable
from typing import Any

def actualActorClass(
    actorClass: type[Any] | str, sourceHashLoader: Callable[[str, str], type[Any]] | None = None
) -> type[Any]: ...

class withPossibleInitArgs:
    kwargs: dict[str, Any]
    def __init__(self, **kw: object) -> None: ...
    def create(self, klass: type[Any]) -> Any: ...
