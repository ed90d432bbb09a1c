"""The tables as SQLAlchemy knows them, for migrations and their check; runtime SQL is text (server_core.store)."""

from server_core.models.base import Base

__all__ = ["Base"]
