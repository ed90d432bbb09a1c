WITH "w" AS (
  INSERT INTO "public"."project" AS "t1" ("name", "description")
  VALUES ($1::text, DEFAULT), (DEFAULT, $2::text), (DEFAULT, DEFAULT)
  RETURNING 1
) SELECT (
  SELECT count(*)
  FROM "w"
)
-- $1 = "a"
-- $2 = null
