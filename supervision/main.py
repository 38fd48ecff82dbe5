"""The entry point of the `propdesk` command."""

from __future__ import annotations

from supervision import cli


def main() -> int:
    """Run one command of the command line; its exit code."""
    cli.outlive_readers()
    return cli.main()
