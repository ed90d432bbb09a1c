INSERT INTO "public"."project" AS "t1" ("name")
VALUES ($1::text)
ON CONFLICT ON CONSTRAINT "project_tenant_id_name_key" DO UPDATE SET "name" = "excluded"."name"
RETURNING ("t1"."id")::text
-- $1 = "p"

INSERT INTO "public"."project" AS "t1" ("name")
VALUES ($1::text)
ON CONFLICT ON CONSTRAINT "project_tenant_id_name_key" DO UPDATE SET "name" = "excluded"."name"
RETURNING ("t1"."id")::text
-- $1 = "p"

INSERT INTO "public"."flow" AS "t1" ("name", "project_id") SELECT ("k"."c1")::varchar, ("k"."c2")::uuid FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k ("c1", "c2", n)
ORDER BY k.n
RETURNING ("t1"."id")::text
-- $1 = ["f", "g"]
-- $2 = [#0 (0, 0), #1 (0, 0)]

WITH "w" AS (
  INSERT INTO "public"."task" AS "t1" ("flow_id", "slug") SELECT ("k"."c1")::uuid, ("k"."c2")::varchar FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k ("c1", "c2", n)
  ORDER BY k.n
  ON CONFLICT ON CONSTRAINT "task_flow_id_slug_key" DO NOTHING
  RETURNING 1
) SELECT (
  SELECT count(*)
  FROM "w"
)
-- $1 = [#2 (0, 0), #2 (0, 0), #2 (0, 1)]
-- $2 = ["x", "y", "x"]
