"""Schema revisions, applied by kit.database.migrate at start."""
