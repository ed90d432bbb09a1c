SELECT row_to_json(r.*)
FROM (
  SELECT "t1"."id" AS "id", "t1"."slug" AS "slug"
  FROM "public"."tenant" AS "t1"
) r
