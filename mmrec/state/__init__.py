"""What is done to the whole state: backup, audit, rebuild, export."""
