"""What every record is checked for first, whichever way it comes in: its bytes, its ids, its instants."""
