"""The command line: `mmrec` and its commands."""
