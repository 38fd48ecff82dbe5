"""One module a command: ``run(args) -> int``."""
