"""GraphQL queries over any Postgres database: catalog and metadata file in, one SQL statement per operation out."""
