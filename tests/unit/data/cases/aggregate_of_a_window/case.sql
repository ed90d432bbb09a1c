SELECT (
  SELECT row_to_json(r.*)
  FROM (
    SELECT ('{"count":' || "s"."a1" || '}')::json AS "aggregate"
    FROM (
      SELECT count(*) AS "a1"
      FROM (
        SELECT *
        FROM (
          SELECT "t1".*
          FROM "public"."flow_run" AS "t1"
          ORDER BY "t1"."created" DESC
          LIMIT 16
        ) AS "t1"
        LIMIT ($1::text)::int4
        OFFSET ($2::text)::int4
      ) AS "t1"
    ) s
  ) r
), (
  SELECT row_to_json(r.*)
  FROM (
    SELECT ('{"count":' || "s"."a1" || '}')::json AS "aggregate"
    FROM (
      SELECT count(*) AS "a1"
      FROM (
        SELECT DISTINCT ON ("t2"."name") "t2".*
        FROM "public"."flow" AS "t2"
      ) AS "t2"
    ) s
  ) r
)
-- $1 = "10"
-- $2 = "2"
