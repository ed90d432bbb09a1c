-- The row type of the walks along the edges of flows; the table stays empty.
CREATE SCHEMA IF NOT EXISTS utility;
CREATE TABLE utility.traversal (
    tenant_id uuid,
    task_id uuid,
    depth integer
);
