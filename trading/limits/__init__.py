"""The rate-limit governor: what may be asked of a venue now, what has to wait, what is refused and why."""
