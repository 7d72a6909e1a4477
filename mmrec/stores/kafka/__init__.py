"""Kafka: topics, producers and readers."""
