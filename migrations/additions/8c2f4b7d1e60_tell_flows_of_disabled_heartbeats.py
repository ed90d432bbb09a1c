"""Tell flows whose group has heartbeats off: running clients look at the flow (actions.md §9.4).

The switch of the legacy server wrote to the group only. This adds a key to `flow.settings`, which the legacy server
leaves empty and does not read.
"""

from alembic import op

revision = "8c2f4b7d1e60"
down_revision = "5b1d7f0e9c32"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the flows in line with their groups."""
    op.execute(
        """
        UPDATE flow
        SET settings = CASE WHEN jsonb_typeof(flow.settings) = 'object' THEN flow.settings ELSE '{}' END
            || '{"heartbeat_enabled": false}'
        FROM flow_group
        WHERE flow_group.id = flow.flow_group_id
            AND flow_group.settings @> '{"heartbeat_enabled": false}'
            AND NOT flow.settings @> '{"heartbeat_enabled": false}'
        """
    )


def downgrade() -> None:
    """Take the key out: a switch of the legacy server would not reach it, and clients would stay silent."""
    op.execute(
        """
        UPDATE flow
        SET settings = settings - 'heartbeat_enabled'
        WHERE jsonb_typeof(settings) = 'object' AND settings ? 'heartbeat_enabled'
        """
    )
