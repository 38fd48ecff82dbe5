"""The system bases: LoopBase, which runs actors inside one event loop, and what proves it."""
