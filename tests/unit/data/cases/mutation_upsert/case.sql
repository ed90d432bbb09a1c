WITH "w" AS (
  INSERT INTO "public"."tenant" AS "t1" ("slug") SELECT ("k"."c1")::varchar FROM unnest($1::text[]) WITH ORDINALITY AS k ("c1", n)
  ORDER BY k.n
  ON CONFLICT ON CONSTRAINT "tenant_slug_key" DO NOTHING
  RETURNING 1
) SELECT (
  SELECT count(*)
  FROM "w"
)
-- $1 = ["a", "b"]

WITH "w" AS (
  INSERT INTO "public"."tenant" AS "t1" ("name", "slug")
  VALUES ($1::text, $2::text)
  ON CONFLICT ON CONSTRAINT "tenant_slug_key" DO UPDATE SET "name" = "excluded"."name", "settings" = "excluded"."settings"
  WHERE "t1"."name" <> $3::text AND EXISTS (
    SELECT 1
    FROM "public"."project" AS "t2"
    WHERE "t2"."tenant_id" = "t1"."id"
  )
  RETURNING "t1".*
) SELECT (
  SELECT count(*)
  FROM "w"
), (
  SELECT row_to_json(r.*)
  FROM (
    SELECT "t3"."name" AS "name"
    FROM "w" AS "t3"
  ) r
)
-- $1 = "A"
-- $2 = "a"
-- $3 = "x"
