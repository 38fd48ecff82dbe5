"""Bybit v5 market data: spot, linear and inverse."""
