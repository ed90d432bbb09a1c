SELECT (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t1"."id" AS "id"
    FROM "public"."flow" AS "t1"
    WHERE "t1"."id" = ($1::text)::uuid OR "t1"."flow_group_id" = ($1::text)::uuid
  ) r
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t2"."id" AS "id"
    FROM "public"."flow_run" AS "t2"
    WHERE "t2"."id" = ($1::text)::uuid AND "t2"."name" ILIKE $2::text
  ) r
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t3"."id" AS "id"
    FROM "public"."task" AS "t3"
    WHERE "t3"."name" ILIKE $2::text
  ) r
)
-- $1 = "00000000-0000-4000-8000-000000000001"
-- $2 = "%x%"
