"""Protective exits: what closes a position when its price has gone far enough, and what is done with the rest."""
