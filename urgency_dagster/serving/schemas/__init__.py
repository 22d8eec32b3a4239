"""What clients send and receive, as the OpenAPI document describes it."""
