"""gRPC reflection for our services: every name that a proto file declares, in both versions of the protocol."""
