WITH "w" AS (
  UPDATE "public"."flow" AS "t1" SET "name" = $1::text, "description" = $2::text, "environment" = ($3::text)::jsonb, "version" = "t1"."version" + ($4::text)::int4, "settings" = "t1"."settings" || ($5::text)::jsonb, "parameters" = ($6::text)::jsonb || "t1"."parameters", "run_config" = "t1"."run_config" - $7::text, "storage" = "t1"."storage" - ($8::text)::int4, "serialized_flow" = "t1"."serialized_flow" #- $9::text[]
  WHERE "t1"."name" = $10::text AND EXISTS (
    SELECT 1
    FROM "public"."project" AS "t2"
    WHERE "t2"."id" = "t1"."project_id" AND "t2"."name" = $11::text
  )
  RETURNING "t1".*
) SELECT (
  SELECT count(*)
  FROM "w"
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t3"."name" AS "name"
    FROM "w" AS "t3"
  ) r
)
-- $1 = "g"
-- $2 = null
-- $3 = "{\"a\":null}"
-- $4 = "-1"
-- $5 = "{\"a\":1}"
-- $6 = "[1]"
-- $7 = "k"
-- $8 = "-1"
-- $9 = ["a", "0"]
-- $10 = "f"
-- $11 = "p"
