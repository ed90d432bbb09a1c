SELECT (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t1"."depth" AS "depth", (
      SELECT row_to_json(r.*)
      FROM (
        SELECT "t2"."name" AS "name", (
          SELECT coalesce(json_agg(r.*), '[]')
          FROM (
            SELECT "t3"."id" AS "id"
            FROM "public"."task_run" AS "t3"
            WHERE "t3"."task_id" = "t2"."id" AND "t3"."flow_run_id" = ($1::text)::uuid
          ) r
        ) AS "task_runs"
        FROM "public"."task" AS "t2"
        WHERE "t2"."id" = "t1"."task_id"
      ) r
    ) AS "task"
    FROM "utility"."downstream_tasks"("start_task_ids" => ($2::text)::uuid[]) AS "t1"
    WHERE "t1"."depth" > ($3::text)::int4
  ) r
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t4"."task_id" AS "task_id"
    FROM "utility"."upstream_tasks"("start_task_ids" => ($4::text)::uuid[], "depth_limit" => ($5::text)::int4) AS "t4"
  ) r
), (
  SELECT coalesce(json_agg(r.*), '[]')
  FROM (
    SELECT "t5"."task_id" AS "task_id"
    FROM "utility"."upstream_tasks"("start_task_ids" => NULL) AS "t5"
  ) r
), (
  SELECT row_to_json(r.*)
  FROM (
    SELECT json_build_object('max'::text, json_build_object('depth'::text, "s"."a1")) AS "aggregate"
    FROM (
      SELECT max("t6"."depth") AS "a1"
      FROM "utility"."upstream_tasks"("start_task_ids" => ($6::text)::uuid[]) AS "t6"
    ) s
  ) r
)
-- $1 = "00000000-0000-4000-8000-000000000002"
-- $2 = "{00000000-0000-4000-8000-000000000001}"
-- $3 = "0"
-- $4 = "{\"00000000-0000-4000-8000-000000000001\"}"
-- $5 = "3"
-- $6 = "{}"
