"""Traces in and out of the process: the journal followed beside its writer, spans to a collector and to files."""
