"""The rate-limit governor at work: its queue on a loop, its count shared by the processes of a host and by hosts."""
