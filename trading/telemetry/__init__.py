"""What orders cost in time: traces made from journal rows, distributions of their stages, the lifecycle report."""
