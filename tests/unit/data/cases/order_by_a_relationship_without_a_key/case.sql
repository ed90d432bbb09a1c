SELECT row_to_json(r.*)
FROM (
  SELECT "t1"."depth" AS "depth", (
    SELECT row_to_json(r.*)
    FROM (
      SELECT "t2"."name" AS "name"
      FROM "public"."task" AS "t2"
      WHERE "t2"."id" = "t1"."task_id"
    ) r
  ) AS "task"
  FROM (
    SELECT "t1".*
    FROM "utility"."traversal" AS "t1"
    ORDER BY (
      SELECT "t3"."name"
      FROM "public"."task" AS "t3"
      WHERE "t3"."id" = "t1"."task_id"
    )
  ) AS "t1"
) r
