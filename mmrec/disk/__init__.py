"""Files that survive a crash: replaced in one step, synced, locked."""
