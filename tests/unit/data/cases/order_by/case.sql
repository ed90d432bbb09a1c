SELECT row_to_json(r.*)
FROM (
  SELECT "t1"."id" AS "id"
  FROM "public"."flow" AS "t1"
  ORDER BY "t1"."name", "t1"."version" DESC, "t1"."created" NULLS FIRST, "t1"."core_version" DESC NULLS LAST, "t1"."updated", "t1"."id" DESC, (
    SELECT (
      SELECT "t3"."name"
      FROM "public"."tenant" AS "t3"
      WHERE "t3"."id" = "t2"."tenant_id"
    )
    FROM "public"."project" AS "t2"
    WHERE "t2"."id" = "t1"."project_id"
  ) DESC, (
    SELECT "t4"."name"
    FROM "public"."project" AS "t4"
    WHERE "t4"."id" = "t1"."project_id"
  ), (
    SELECT count(*)
    FROM "public"."task" AS "t5"
    WHERE "t5"."flow_id" = "t1"."id"
  ) DESC, (
    SELECT max("t6"."max_retries")
    FROM "public"."task" AS "t6"
    WHERE "t6"."flow_id" = "t1"."id"
  )
) r
