"""The drop copy's own way to a venue's record, its tail of the journal, its store and its report."""
