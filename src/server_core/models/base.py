"""What all tables share: one MetaData. Called by every file of models and by migrations/env.py."""

from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    """The parent of every model."""
