"""The order journal on disk: store, writer thread, verification."""
