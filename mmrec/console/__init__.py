"""What the command line shows: facts first, then tables."""
