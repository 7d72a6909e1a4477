"""The event log on Parquet."""
