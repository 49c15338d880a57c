-- Profiles that change, and what CRM systems know of members.
ALTER TABLE profile.members
    ADD COLUMN version   bigint NOT NULL DEFAULT 1,
    ADD COLUMN source_at bigint NOT NULL DEFAULT 0,      -- when the source of names and language had them
    -- The name, given and family name first, in the form in which it is searched: see ledger.store.name_key.
    ADD COLUMN given_key  text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN family_key text COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX members_given_idx ON profile.members (program, given_key) WHERE given_key <> '';
CREATE INDEX members_family_idx ON profile.members (program, family_key) WHERE family_key <> '';

-- How an identifier ends: what is left of it on a receipt.
CREATE INDEX identifiers_ending_idx ON profile.identifiers (program, reverse(value) COLLATE "C");

-- One row for each attribute that a member has, or had. Erased with the person.
CREATE TABLE profile.attributes (
    member_id       uuid    NOT NULL REFERENCES profile.members ON DELETE CASCADE,
    attribute       text    NOT NULL,
    type            smallint NOT NULL,  -- loyalty.v1.AttributeType
    value           text,               -- in the form of its type; NULL where it was removed
    version         bigint  NOT NULL,
    source          text    NOT NULL,   -- the system that it is from
    source_at       bigint  NOT NULL,   -- when that system had it
    updated_at      bigint  NOT NULL,   -- when it was changed here
    PRIMARY KEY (member_id, attribute)
) WITH (fillfactor = 80);

-- What an update said, so that the same request id with another content is noticed. Erased with the person.
CREATE TABLE profile.updates (
    request_id      uuid    NOT NULL PRIMARY KEY,
    member_id       uuid    NOT NULL REFERENCES profile.members ON DELETE CASCADE,
    request         bytea   NOT NULL    -- loyalty.v1.UpdateMemberRequest
);

CREATE INDEX updates_member_idx ON profile.updates (member_id);
CALL profile.keep_no_samples();
