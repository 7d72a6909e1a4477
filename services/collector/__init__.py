"""The gRPC collector."""
