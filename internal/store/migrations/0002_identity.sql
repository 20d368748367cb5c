-- +goose Up
-- What is asked for or must be unique is a column; body is the whole, as JSON.
CREATE TABLE accounts (
    id    TEXT NOT NULL PRIMARY KEY,
    alias TEXT UNIQUE, -- NULL if it has none
    body  TEXT NOT NULL
);

-- Users, roles and groups.
CREATE TABLE entities (
    id      TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL, -- in lower case
    path    TEXT NOT NULL,
    body    TEXT NOT NULL,
    UNIQUE (account, kind, name)
);

CREATE TABLE access_keys (
    id    TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL, -- an entity's id, or an account's for its root user
    body  TEXT NOT NULL
);
CREATE INDEX access_keys_by_owner ON access_keys (owner);

CREATE TABLE managed_policies (
    id      TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    name    TEXT NOT NULL, -- in lower case
    arn     TEXT NOT NULL UNIQUE,
    body    TEXT NOT NULL,
    UNIQUE (account, name)
);

-- From entities to managed policies' ARNs (AWS's own have no row) and to groups.
CREATE TABLE identity_links (
    account TEXT NOT NULL,
    source  TEXT NOT NULL REFERENCES entities (id),
    used_as TEXT NOT NULL,
    target  TEXT NOT NULL,
    PRIMARY KEY (source, used_as, target)
);
CREATE INDEX identity_links_by_target ON identity_links (account, target, used_as);

-- +goose Down
DROP TABLE identity_links;
DROP TABLE managed_policies;
DROP TABLE access_keys;
DROP TABLE entities;
DROP TABLE accounts;
