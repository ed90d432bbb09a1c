SELECT (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t1"."id" AS "id"
    FROM "public"."flow_run" AS "t1"
    WHERE "t1"."state" = ANY ($1::text[]) AND EXISTS (
      SELECT 1
      FROM "public"."flow" AS "t2"
      WHERE "t2"."id" = "t1"."flow_id" AND "t2"."project_id" = ($2::text)::uuid
    )
  ) r
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t3"."id" AS "id"
    FROM "public"."flow_run" AS "t3"
    WHERE "t3"."id" = ($3::text)::uuid AND "t3"."updated" >= ($4::text)::timestamptz
  ) r
)
-- $1 = ["Running"]
-- $2 = "p"
-- $3 = "x"
-- $4 = "2020-01-01"
