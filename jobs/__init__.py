"""Programs that run and end, or run and stream: thin shells around mmrec."""
