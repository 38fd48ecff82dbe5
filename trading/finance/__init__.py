"""What the desk has, what it made and where that came from: balances, profit by period, lots, the statement of cash."""
