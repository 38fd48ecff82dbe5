"""What operators read of market data: feeds, quorum, clocks, quality, derivatives, flow. Bodies and their builders."""
