"""Binance spot, USD-M and COIN-M: what their bytes mean."""
