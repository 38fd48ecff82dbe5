"""Venues that are read through ccxt because nobody here speaks their own protocol: Gate.io and MEXC."""
