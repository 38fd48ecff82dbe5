"""The pure desk: no I/O, no clock, no randomness, no logging, no threads, no Thespian."""
