"""${message}."""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Only add: the legacy server must still start on the result."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Take back what upgrade added."""
    ${downgrades if downgrades else "pass"}
