"""Who may do what: organisations, users, roles, permissions, sessions, API tokens, and the keys that sign for them."""
