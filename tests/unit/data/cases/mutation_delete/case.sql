WITH "w" AS (
  DELETE FROM "public"."log" AS "t1"
  RETURNING 1
) SELECT (
  SELECT count(*)
  FROM "w"
)

WITH "w" AS (
  DELETE FROM "public"."edge" AS "t1"
  WHERE "t1"."mapped" = ($1::text)::bool
  RETURNING "t1".*
) SELECT (
  SELECT count(*)
  FROM "w"
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t2"."id" AS "id"
    FROM "w" AS "t2"
  ) r
)
-- $1 = "true"
