INSERT INTO "public"."tenant" AS "t1" ("name", "slug")
VALUES ($1::text, $2::text)
RETURNING ("t1"."id")::text
-- $1 = "t"
-- $2 = "t"

INSERT INTO "public"."project" AS "t1" ("tenant_id", "name")
VALUES (($1::text)::uuid, $2::text), (DEFAULT, $3::text), (DEFAULT, $4::text)
RETURNING ("t1"."id")::text
-- $1 = #0 (0, 0)
-- $2 = "a"
-- $3 = "b"
-- $4 = "c"

INSERT INTO "public"."flow_group" AS "t1" ("name")
VALUES ($1::text)
RETURNING ("t1"."id")::text
-- $1 = "g"

INSERT INTO "public"."flow" AS "t1" ("name", "project_id", "flow_group_id")
VALUES ($1::text, ($2::text)::uuid, DEFAULT), ($3::text, ($2::text)::uuid, ($4::text)::uuid), ($5::text, ($6::text)::uuid, DEFAULT)
RETURNING ("t1"."id")::text
-- $1 = "f"
-- $2 = #1 (0, 0)
-- $3 = "g"
-- $4 = #2 (0, 0)
-- $5 = "h"
-- $6 = #1 (0, 1)

WITH "w" AS (
  INSERT INTO "public"."task" AS "t1" ("flow_id", "name", "slug")
  VALUES (($1::text)::uuid, $2::text, $3::text)
  RETURNING 1
) SELECT (
  SELECT count(*)
  FROM "w"
)
-- $1 = #3 (0, 0)
-- $2 = "x"
-- $3 = "x"

SELECT (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t1"."name" AS "name"
    FROM (
      SELECT t.* FROM unnest($1::text[]) WITH ORDINALITY AS k ("c1", n) JOIN "public"."project" AS t ON "t"."id" = ("k"."c1")::uuid
      ORDER BY k.n
    ) AS "t1"
  ) r
)
-- $1 = @insert_project (0,)
