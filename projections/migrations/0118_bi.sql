-- For those who read the views with tools of their own: an outbox, and a role. projections/VIEWS.md lists what stays stable.

-- What happened to a member, by the name that events have everywhere else; NULL for what changes no member.
CREATE FUNCTION projection.event_type(topic text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE topic
        WHEN 'enrolled/1' THEN 'MemberEnrolled'
        WHEN 'sale/1' THEN 'SaleRecorded'
        WHEN 'activity/1' THEN 'ActivityRecorded'
        WHEN 'redeemed/1' THEN 'PointsRedeemed'
        WHEN 'reserved/1' THEN 'RewardReserved'
        WHEN 'released/1' THEN 'RewardReleased'
        WHEN 'returned/1' THEN 'SaleReturned'
        WHEN 'reversed/1' THEN 'TransactionReversed'
        WHEN 'expired/1' THEN 'PointsExpired'
        WHEN 'expiry-notified/1' THEN 'ExpiryNotified'
        WHEN 'expiry-extended/1' THEN 'ExpiryExtended'
        WHEN 'reinstated/1' THEN 'PointsReinstated'
        WHEN 'pending-settled/1' THEN 'PendingSettled'
        WHEN 'tier/1' THEN 'TierChanged'
        WHEN 'tier-floor/1' THEN 'TierFloorSet'
        WHEN 'adjusted/1' THEN 'PointsAdjusted'
        WHEN 'granted/1' THEN 'RewardGranted'
        WHEN 'voucher-issued/1' THEN 'VoucherIssued'
        WHEN 'voucher-used/1' THEN 'VoucherUsed'
        WHEN 'voucher-revoked/1' THEN 'VoucherRevoked'
        WHEN 'voucher-expired/1' THEN 'VoucherExpired'
        WHEN 'entitlement-issued/1' THEN 'EntitlementIssued'
        WHEN 'entitlement-used/1' THEN 'EntitlementUsed'
        WHEN 'entitlement-revoked/1' THEN 'EntitlementRevoked'
        WHEN 'entitlement-expired/1' THEN 'EntitlementExpired'
        WHEN 'member-updated/1' THEN 'MemberUpdated'
        WHEN 'consents/1' THEN 'ConsentsRecorded'
        WHEN 'consent-given/1' THEN 'ConsentGiven'
        WHEN 'consent-withdrawn/1' THEN 'ConsentWithdrawn'
        WHEN 'feedback/1' THEN 'FeedbackRecorded'
        WHEN 'erased/1' THEN 'MemberErased'
    END
$$;

-- What happened to members, in the shape of Debezium's outbox: read it by position, which has no order but one. It goes as
-- far as the views that it is made of, so that a reader passes over nothing. A row never changes. What is looked up of each
-- event is limited to the one row that there can be, so that whoever reads the next 500 has no more looked up.
CREATE VIEW views.outbox AS
    SELECT md5(l.log_id || ':' || e.notification_id)::uuid AS id,
           'member'::varchar(255) AS aggregatetype,
           ('members/' || e.originator_id)::varchar(255) AS aggregateid,
           projection.event_type(e.topic)::varchar(255) AS type,
           jsonb_strip_nulls(jsonb_build_object(
               'member', 'members/' || e.originator_id,
               'position', e.notification_id,
               'transaction', 'transactions/' || s.transaction_id,
               'effective_at', to_char(
                   ('epoch'::timestamptz + s.effective_at * interval '1 microsecond') AT TIME ZONE 'UTC',
                   'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
               ),
               'store', nullif(s.store, ''),
               'points', s.points,
               'total_points', s.total_points,
               'voucher', 'members/' || v.member_id || '/vouchers/' || v.voucher_id,
               'entitlement', 'members/' || n.member_id || '/entitlements/' || n.entitlement_id,
               'reward_id', coalesce(v.reward_id, n.reward_id),
               'purpose', c.purpose,
               'contact_channel', c.channel,
               'given', c.given
           )) AS payload,
           e.notification_id AS position,
           'epoch'::timestamptz + e.recorded_at * interval '1 microsecond' AS recorded_at
    FROM events e
    CROSS JOIN log_identity l
    LEFT JOIN LATERAL (
        SELECT * FROM views.statements o WHERE o.member_id = e.originator_id AND o.position = e.notification_id LIMIT 1
    ) AS s ON true
    LEFT JOIN LATERAL (
        SELECT * FROM views.vouchers o WHERE o.member_id = e.originator_id AND o.position = e.notification_id LIMIT 1
    ) AS v ON true
    LEFT JOIN LATERAL (
        SELECT * FROM views.entitlements o WHERE o.member_id = e.originator_id AND o.position = e.notification_id LIMIT 1
    ) AS n ON true
    LEFT JOIN LATERAL (
        SELECT * FROM views.consents o WHERE o.member_id = e.originator_id AND o.position = e.notification_id LIMIT 1
    ) AS c ON true
    WHERE projection.event_type(e.topic) IS NOT NULL
      AND e.notification_id <= (SELECT min(p.position) FROM views.positions p WHERE p.name IN ('statements', 'rewards', 'consents'));

-- The role of BI tools: the views, without who did what, and nothing else. It cannot log in; GRANT loyalty_bi TO whoever
-- reads. Where the ledger's own role may not make roles, somebody who may does so and then grants the same.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'loyalty_bi') THEN
        BEGIN
            CREATE ROLE loyalty_bi NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of the server has just made it
            WHEN insufficient_privilege THEN
                RAISE WARNING 'role loyalty_bi cannot be made: BI tools have no role of their own in the database';
                RETURN;
        END;
    END IF;
    GRANT USAGE ON SCHEMA views TO loyalty_bi;
    GRANT SELECT ON ALL TABLES IN SCHEMA views TO loyalty_bi;
    ALTER DEFAULT PRIVILEGES IN SCHEMA views GRANT SELECT ON TABLES TO loyalty_bi;
    REVOKE SELECT ON views.audit_trail, views.consent_operators FROM loyalty_bi;
END $$;
