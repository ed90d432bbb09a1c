SELECT row_to_json(r.*)
FROM (
  SELECT "t1"."id" AS "id"
  FROM "public"."flow_run" AS "t1"
  WHERE EXISTS (
    SELECT 1
    FROM "public"."flow" AS "t2"
    WHERE "t2"."id" = "t1"."flow_id" AND (EXISTS (
      SELECT 1
      FROM "public"."project" AS "t3"
      WHERE "t3"."id" = "t2"."project_id" AND "t3"."name" = $1::text
    ) AND "t2"."archived" = ($2::text)::bool)
  ) AND EXISTS (
    SELECT 1
    FROM "public"."task_run" AS "t4"
    WHERE "t4"."flow_run_id" = "t1"."id" AND ("t4"."state" = $3::text AND EXISTS (
      SELECT 1
      FROM "public"."task" AS "t5"
      WHERE "t5"."id" = "t4"."task_id" AND "t5"."slug" ILIKE $4::text
    ))
  ) AND EXISTS (
    SELECT 1
    FROM "public"."agent" AS "t6"
    WHERE "t6"."id" = "t1"."agent_id"
  ) AND NOT (EXISTS (
    SELECT 1
    FROM "public"."log" AS "t7"
    WHERE "t7"."flow_run_id" = "t1"."id"
  ))
) r
-- $1 = "p"
-- $2 = "false"
-- $3 = "Failed"
-- $4 = "%x%"
