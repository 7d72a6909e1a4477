"""Redis: profile rows, overlay, the writer's lease."""
