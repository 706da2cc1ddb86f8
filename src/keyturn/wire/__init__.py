"""AWS's wire: three protocols, driven by the service models, and nothing about what an operation means."""
