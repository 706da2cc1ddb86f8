"""How a service's keys are made, tried and revoked over HTTP: its description, and one request."""
