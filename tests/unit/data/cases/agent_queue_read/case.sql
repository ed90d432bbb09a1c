SELECT row_to_json(r.*)
FROM (
  SELECT "t1"."id" AS "id", (
    SELECT row_to_json(r.*)
    FROM (
      SELECT "t2"."id" AS "id", "t2"."name" AS "name"
      FROM "public"."flow" AS "t2"
      WHERE "t2"."id" = "t1"."flow_id"
    ) r
  ) AS "flow", (
    SELECT coalesce(json_agg(r.*), '[]')
    FROM (
      SELECT "t3"."id" AS "id", "t3"."version" AS "version"
      FROM "public"."task_run" AS "t3"
      WHERE "t3"."flow_run_id" = "t1"."id" AND "t3"."state_start_time" <= ($1::text)::timestamptz
    ) r
  ) AS "task_runs"
  FROM "public"."flow_run" AS "t1"
  WHERE "t1"."id" = ANY ((string_to_array($2::text, E'\x1f'))::uuid[]) AND ("t1"."state" = $3::text OR ("t1"."state" = $4::text AND EXISTS (
    SELECT 1
    FROM "public"."task_run" AS "t4"
    WHERE "t4"."flow_run_id" = "t1"."id" AND "t4"."state_start_time" <= ($5::text)::timestamptz
  )))
) r
-- $1 = "2020-01-01T00:00:00"
-- $2 = "00000000-0000-4000-8000-000000000001\u001f00000000-0000-4000-8000-000000000002"
-- $3 = "Scheduled"
-- $4 = "Running"
-- $5 = "2020-01-01T00:00:00"
