SELECT row_to_json(r.*)
FROM (
  SELECT "t1"."id" AS "id"
  FROM "public"."flow_run" AS "t1"
  WHERE "t1"."start_time" >= ($1::text)::timestamptz AND EXISTS (
    SELECT 1
    FROM "public"."flow" AS "t2"
    WHERE "t2"."id" = "t1"."flow_id"
  ) AND (true OR "t1"."id" = ($2::text)::uuid) AND NOT (true)
) r
-- $1 = "2020-01-01"
-- $2 = "x"
