"""Offline: calibration and comparisons; nothing that runs in a desk."""
