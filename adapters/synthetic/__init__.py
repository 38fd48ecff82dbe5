"""The embedded market: seeded, synthetic, in the venues' own wire formats."""
