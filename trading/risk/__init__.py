"""The last word before an order exists: limits, filters, modes and the trips that pull brakes."""
