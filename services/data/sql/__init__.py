"""How to ask Postgres: a plan → one statement, text and parameters."""
