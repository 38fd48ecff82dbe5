"""Orders: vocabulary, state machine, journal rows, the order core."""
