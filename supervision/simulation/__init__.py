"""Worlds in virtual time: the desk's own parts against venues and networks that misbehave, under a seed."""
