SELECT row_to_json(r.*)
FROM (
  SELECT 'project'::text AS "__typename", "t1"."id" AS "key", "t1"."name" AS "r", (
    SELECT row_to_json(r.*)
    FROM (
      SELECT "t2"."slug" AS "s", 'tenant'::text AS "__typename"
      FROM "public"."tenant" AS "t2"
      WHERE "t2"."id" = "t1"."tenant_id"
    ) r
  ) AS "t1"
  FROM "public"."project" AS "t1"
  WHERE "t1"."name" = $1::text
) r
-- $1 = "p"
