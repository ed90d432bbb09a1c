"""The schema, the migrations and the embedded Postgres, on a real Postgres."""
