"""The trading side of a simulated venue: its account, signed requests, private streams."""
