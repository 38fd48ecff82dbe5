"""Market data after decoding: books, the proof that they are right, and the gates on their use."""
