"""Wire types, generated from the service models: one TypedDict per request, response and structure."""
