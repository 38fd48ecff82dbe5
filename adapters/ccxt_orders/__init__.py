"""Orders at venues that only ccxt speaks with: Gate.io and MEXC spot. ccxt writes and reads, and has no socket."""
