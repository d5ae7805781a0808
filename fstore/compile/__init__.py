"""Registry and request in, sqlglot tree out: pure, deterministic, no connection and no clock."""
