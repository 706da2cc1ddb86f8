"""AWS Identity and Access Management: users, roles, their inline policies and access keys."""
