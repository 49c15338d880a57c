-- The audit trail, one page of events at a time, and what is asked of it.

-- name: enter
INSERT INTO audit_entries (position, entry, stream_id, recorded_at, kind, actor, role, operator, method, resource,
                           member_id, store, terminal, network, reason, count, first_at, last_at, details)
SELECT e.position, e.entry, e.stream_id, e.recorded_at, e.kind, e.actor, e.role, e.operator, e.method, e.resource,
       e.member_id, e.store, e.terminal, e.network, e.reason, e.count, e.first_at, e.last_at, e.details::jsonb
FROM unnest(%b::bigint[], %b::bigint[], %b::uuid[], %b::bigint[], %b::bigint[], %b::text[], %b::text[], %b::text[],
            %b::text[], %b::text[], %b::uuid[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::bigint[],
            %b::bigint[], %b::bigint[], %b::text[])
    AS e (position, entry, stream_id, recorded_at, kind, actor, role, operator, method, resource, member_id, store,
          terminal, network, reason, count, first_at, last_at, details)

-- name: entries
-- Newest first. Empty texts, kind 0 and no member stand for any.
SELECT p.position, e.*
FROM views.positions p
LEFT JOIN LATERAL (
    SELECT t.position, t.entry, t.recorded_at, t.kind, t.actor, t.role, t.operator, t.method, t.resource, t.store,
           t.terminal, t.network, t.reason, t.count, t.first_at, t.last_at, t.details::text
    FROM views.audit_trail t
    WHERE (t.position, t.entry) < (%(before)b, %(before_entry)b) AND t.position BETWEEN %(first)b AND %(last)b {conditions}
    ORDER BY t.position DESC, t.entry DESC LIMIT %(limit)b
) AS e ON true
WHERE p.name = 'audit_trail'
