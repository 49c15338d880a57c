-- The role of auditors in the database: they read the log and the views, and neither personal data nor secrets. It cannot
-- log in; GRANT loyalty_auditor TO whoever audits. Where the ledger's own role may not make roles, somebody who may does so
-- and then grants the same.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'loyalty_auditor') THEN
        BEGIN
            CREATE ROLE loyalty_auditor NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of the server has just made it
            WHEN insufficient_privilege THEN
                RAISE WARNING 'role loyalty_auditor cannot be made: auditors have no role of their own in the database';
                RETURN;
        END;
    END IF;
    GRANT USAGE ON SCHEMA public, views TO loyalty_auditor;
    GRANT SELECT ON events, log_seal, log_tiles, log_checkpoints, log_archives, migrations TO loyalty_auditor;
    GRANT SELECT ON ALL TABLES IN SCHEMA views TO loyalty_auditor;
    ALTER DEFAULT PRIVILEGES IN SCHEMA views GRANT SELECT ON TABLES TO loyalty_auditor;
END $$;
