"""What a recommender replica holds in memory, and how answers become messages."""
