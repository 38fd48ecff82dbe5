"""Loopback servers that speak the venues' public market data, with faults on demand."""
