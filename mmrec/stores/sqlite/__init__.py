"""SQLite: profile rows, overlay, the writer's lock."""
