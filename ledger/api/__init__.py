"""The gRPC API: check, convert, one call, convert."""
