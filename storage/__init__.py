"""PostgreSQL through asyncpg: migrations, and one repository module per business word."""
