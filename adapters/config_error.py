"""What is wrong with a configuration, apart from the model that finds it: the command line needs only this."""

from __future__ import annotations


class ConfigError(Exception):
    """The configuration is wrong: ``field`` names where, ``mend`` what to do."""

    def __init__(self, field: str, problem: str, mend: str) -> None:
        super().__init__(f"{field}: {problem}; {mend}" if mend else f"{field}: {problem}")
        self.field = field
        self.problem = problem
        self.mend = mend

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, str, str]]:
        """Exceptions cross process boundaries."""
        return ConfigError, (self.field, self.problem, self.mend)
