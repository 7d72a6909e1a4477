"""How a program begins, waits for its engines and ends, and which library versions it may know from within."""
