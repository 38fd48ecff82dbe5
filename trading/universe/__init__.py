"""What may be traded: ids, listings and their changes, admission, the workflow of the allow-list, states of venues."""
