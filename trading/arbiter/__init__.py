"""Between strategies and orders: netting, internal crosses, budgets, priorities and order slots."""
