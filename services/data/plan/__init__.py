"""What was asked: a validated operation → a frozen tree that no longer knows GraphQL."""
