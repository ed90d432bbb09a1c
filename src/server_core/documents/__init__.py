"""What gateway and data both do with the text of a document before they plan it; pure, on graphql-core."""
