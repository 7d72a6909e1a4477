"""Programs that answer: thin shells around mmrec."""
