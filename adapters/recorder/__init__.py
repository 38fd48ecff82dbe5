"""Recorded history: wire logs of everything inbound, Parquet made of them, views, contracts and the filling of gaps."""
