SELECT row_to_json(r.*)
FROM (
  SELECT "t1"."name" AS "name", (
    SELECT row_to_json(r.*)
    FROM (
      SELECT "t2"."name" AS "name", "t2"."id" AS "id"
      FROM "public"."project" AS "t2"
      WHERE "t2"."id" = "t1"."project_id"
    ) r
  ) AS "project", "t1"."archived" AS "archived"
  FROM "public"."flow" AS "t1"
) r
