-- Who may call. Only the hash of a secret is kept; a secret is 256 random bits, so a fast hash is enough.
CREATE TABLE credentials (
    credential_id   text        NOT NULL PRIMARY KEY,
    secret_hash     bytea       NOT NULL,  -- SHA-256
    role            text        NOT NULL CHECK (role IN ('pos', 'manager', 'auditor', 'crm', 'admin')),
    store           text,                  -- NULL: any store
    terminal        text,                  -- NULL: any terminal
    program         text,                  -- NULL: any program, and none by default
    personal_data   boolean     NOT NULL,  -- whether an auditor may see personal data; other roles see what their work needs
    created_at      timestamptz NOT NULL DEFAULT now(),
    revoked_at      timestamptz
);
