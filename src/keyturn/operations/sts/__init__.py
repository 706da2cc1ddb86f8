"""AWS Security Token Service: who am I, let me be a role for a while, and why was that refused."""
