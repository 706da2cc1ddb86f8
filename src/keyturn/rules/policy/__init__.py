"""The policy language of IAM: documents, conditions, and the decision they lead to."""
