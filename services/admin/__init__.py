"""The administrative gRPC service."""
