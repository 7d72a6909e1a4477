"""What `make demo` shows: a producer's ledger, one user's journey, and the page that pictures it."""
