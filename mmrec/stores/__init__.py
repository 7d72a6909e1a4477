"""Adapters to the outside: Feast, Kafka, the Parquet log, Milvus."""
