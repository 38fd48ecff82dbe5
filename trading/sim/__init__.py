"""The simulated venue: an exchange account that trades against recorded or synthetic liquidity."""
