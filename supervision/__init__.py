"""Who starts whom, restarts, drills, benches and the command line."""
