"""Pages for people: pictures of the data, and of what models learned from it."""
