"""What the database is: pg_catalog as values (model, introspect) and which of it is shown (metadata, tracked)."""
