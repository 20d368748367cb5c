-- +goose Up
-- DB clusters, their instances and cluster snapshots. A row's id is never used
-- again; its name is unique in its account and Region as long as it exists.
-- The rest of a row is the JSON text of the struct that package clusters keeps.
CREATE TABLE clusters (
    id      TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    name    TEXT NOT NULL,
    body    TEXT NOT NULL,
    UNIQUE (account, region, name)
);

CREATE TABLE instances (
    id      TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    name    TEXT NOT NULL,
    body    TEXT NOT NULL,
    UNIQUE (account, region, name)
);

CREATE TABLE snapshots (
    id      TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    name    TEXT NOT NULL,
    body    TEXT NOT NULL,
    UNIQUE (account, region, name)
);

-- With whom a snapshot is shared: an account id, or 'all'. It repeats what the
-- snapshot's body says, so that it can be searched.
CREATE TABLE snapshot_shares (
    snapshot TEXT NOT NULL,
    who      TEXT NOT NULL,
    PRIMARY KEY (who, snapshot)
);
CREATE INDEX snapshot_shares_snapshot ON snapshot_shares (snapshot);

-- Long jobs that have not ended, in the order in which they were begun.
CREATE TABLE operations (
    id   TEXT NOT NULL PRIMARY KEY,
    seq  BIGINT NOT NULL UNIQUE,
    body TEXT NOT NULL
);

-- Data keys, wrapped by KMS; in the clear where key_arn is '': such data is not
-- encrypted under any KMS key.
CREATE TABLE data_keys (
    account TEXT NOT NULL,
    lineage TEXT NOT NULL,
    key_arn TEXT NOT NULL,
    wrapped BYTEA NOT NULL,
    PRIMARY KEY (account, lineage, key_arn)
);

-- +goose Down
DROP TABLE data_keys;
DROP TABLE operations;
DROP TABLE snapshot_shares;
DROP TABLE snapshots;
DROP TABLE instances;
DROP TABLE clusters;
