"""The venues' order wire: signed REST, private streams, what is sent and what an answer proves."""
