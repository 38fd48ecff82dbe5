"""Shells only: each actor here carries out what a pure core of ``trading`` decided."""
