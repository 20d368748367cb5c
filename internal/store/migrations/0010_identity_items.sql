-- +goose Up
-- What belongs to an account beside its principals, keys and policies: login
-- profiles, MFA devices, instance profiles, identity providers, reports.
CREATE TABLE identity_items (
    account TEXT NOT NULL REFERENCES accounts (id),
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    owner   TEXT NOT NULL, -- an entity's id, or an account's for its root user; '' if it is nobody's
    body    TEXT NOT NULL, -- JSON
    sealed  BYTEA,         -- a secret of it; NULL if it has none
    PRIMARY KEY (account, kind, id)
);
CREATE INDEX identity_items_by_owner ON identity_items (owner, kind);

-- The last use of access keys and, by action, of principals. It is written now
-- and then, not with each use.
CREATE TABLE identity_usage (
    subject TEXT   NOT NULL, -- an access key's id, an entity's, or an account's for its root user
    service TEXT   NOT NULL,
    action  TEXT   NOT NULL,
    used    BIGINT NOT NULL, -- Unix milliseconds
    region  TEXT   NOT NULL,
    PRIMARY KEY (subject, service, action)
);

-- +goose Down
DROP TABLE identity_usage;
DROP TABLE identity_items;
