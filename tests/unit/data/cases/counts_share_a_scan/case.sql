SELECT ('{"aggregate":{"count":' || "t2"."a1" || '}}')::json, ('{"aggregate":{"count":' || "t2"."a2" || ',"__typename":"flow_run_aggregate_fields"},"__typename":"flow_run_aggregate"}')::json, (
  SELECT row_to_json(r.*)
  FROM (
    SELECT ('{"count":' || "s"."a1" || '}')::json AS "aggregate"
    FROM (
      SELECT count(*) AS "a1"
      FROM "public"."flow_run" AS "t4"
      WHERE EXISTS (
        SELECT 1
        FROM "public"."flow" AS "t5"
        WHERE "t5"."id" = "t4"."flow_id" AND "t5"."name" = $1::text
      )
    ) s
  ) r
), (
  SELECT row_to_json(r.*)
  FROM (
    SELECT json_build_object('max'::text, json_build_object('start_time'::text, "s"."a1")) AS "aggregate"
    FROM (
      SELECT max("t6"."start_time") AS "a1"
      FROM "public"."flow_run" AS "t6"
    ) s
  ) r
)
FROM (
  SELECT count(*) FILTER (WHERE "t1"."state" = $2::text) AS "a1", count(*) FILTER (WHERE "t1"."state" = $3::text) AS "a2"
  FROM "public"."flow_run" AS "t1"
  WHERE EXISTS (
    SELECT 1
    FROM "public"."flow" AS "t3"
    WHERE "t3"."id" = "t1"."flow_id" AND "t3"."project_id" = ($4::text)::uuid
  ) AND "t1"."scheduled_start_time" >= ($5::text)::timestamptz AND ("t1"."state" = $2::text OR "t1"."state" = $3::text)
) AS "t2"
-- $1 = "x"
-- $2 = "Success"
-- $3 = "Failed"
-- $4 = "00000000-0000-4000-8000-000000000001"
-- $5 = "2020-01-01"
