"""The drop copy: what a venue's record says was executed, against what the journal booked."""
