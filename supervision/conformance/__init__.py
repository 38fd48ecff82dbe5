"""The fault matrix of market data: a whole desk against loopback venues that misbehave, and an oracle of its own."""
