"""What the desk holds and what it made, in double entry."""
