-- What the API asks about people. Each question is one statement, so that its answer is of one moment.

-- name: held
SELECT p.position, c.purpose, c.channel, c.since, c.expires_at
FROM (SELECT position FROM views.positions WHERE name = 'consents') AS p
LEFT JOIN views.consents_at(%(at)b) AS c ON c.member_id = %(member_id)b
ORDER BY c.purpose, c.channel

-- name: decisions
SELECT p.position, c.position, c.purpose, c.channel, c.given, c.text_id, c.text_version, c.language_code, c.decided_at,
       c.expires_at, c.transaction_id, c.store, c.origin_channel, o.operator
FROM (SELECT position FROM views.positions WHERE name = 'consents') AS p
LEFT JOIN LATERAL (
    SELECT * FROM views.consents c WHERE c.member_id = %(member_id)b AND c.position < %(before)b
    ORDER BY c.position DESC LIMIT %(limit)b
) AS c ON true
LEFT JOIN views.consent_operators o ON o.member_id = c.member_id AND o.position = c.position
ORDER BY c.position DESC

-- name: results
SELECT p.position, r.*
FROM (SELECT position FROM views.positions WHERE name = 'feedback') AS p
LEFT JOIN (
    SELECT {key} AS key, count(*) AS said,
           count(*) FILTER (WHERE f.rating = 1), count(*) FILTER (WHERE f.rating = 2),
           count(*) FILTER (WHERE f.rating = 3), count(*) FILTER (WHERE f.rating = 4),
           count(*) FILTER (WHERE f.rating = 5),
           count(*) FILTER (WHERE f.nps >= 9), count(*) FILTER (WHERE f.nps BETWEEN 7 AND 8),
           count(*) FILTER (WHERE f.nps <= 6), count(*) FILTER (WHERE f.has_text)
    FROM views.feedback f {joined}
    WHERE {conditions}
    GROUP BY 1
    ORDER BY {key} COLLATE "C" LIMIT %(limit)b
) AS r ON true
ORDER BY r.key COLLATE "C"

-- name: feedback
SELECT p.position, f.*
FROM (SELECT position FROM views.positions WHERE name = 'feedback') AS p
LEFT JOIN LATERAL (
    SELECT f.position, f.member_id, f.feedback_id, f.said_at, f.day::text, f.subject, f.about, f.store, f.sku, f.reward_id,
           f.tier, f.channel, f.rating, f.nps, f.has_text, f.language_code
    FROM views.feedback f
    WHERE {conditions} AND f.position < %(before)b
    ORDER BY f.position DESC LIMIT %(limit)b
) AS f ON true
ORDER BY f.position DESC
