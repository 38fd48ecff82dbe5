"""The desk's books against the venues': every difference has a class, a state, evidence, and what is done about it."""
