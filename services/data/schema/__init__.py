"""What we promise: tracked tables → a graphql-core schema with the names and types of Hasura."""
