"""OKX v5: public market data and instrument rules."""
