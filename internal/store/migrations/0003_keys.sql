-- +goose Up
CREATE TABLE kms_keys (
    account TEXT   NOT NULL,
    region  TEXT   NOT NULL,
    id      TEXT   NOT NULL,
    version BIGINT NOT NULL,
    due     BIGINT,          -- when the key is to be deleted, Unix milliseconds
    body    TEXT   NOT NULL, -- the rest of keys.Key, JSON
    PRIMARY KEY (account, region, id)
);
CREATE INDEX kms_keys_due ON kms_keys (due) WHERE due IS NOT NULL;

-- The secrets of keys. What is sealed here opens with the root key only.
CREATE TABLE kms_materials (
    id      TEXT   NOT NULL PRIMARY KEY,
    account TEXT   NOT NULL,
    region  TEXT   NOT NULL,
    key_id  TEXT   NOT NULL,
    place   BIGINT NOT NULL, -- 0 is the key's first material
    created BIGINT NOT NULL, -- Unix milliseconds
    sealed  BYTEA  NOT NULL,
    UNIQUE (account, region, key_id, place),
    FOREIGN KEY (account, region, key_id) REFERENCES kms_keys (account, region, id) ON DELETE CASCADE
);

CREATE TABLE kms_aliases (
    account TEXT   NOT NULL,
    region  TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    key_id  TEXT   NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (account, region, name),
    FOREIGN KEY (account, region, key_id) REFERENCES kms_keys (account, region, id) ON DELETE CASCADE
);
CREATE INDEX kms_aliases_key ON kms_aliases (account, region, key_id, name);

CREATE TABLE kms_grants (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    key_id   TEXT NOT NULL,
    id       TEXT NOT NULL,
    name     TEXT NOT NULL,
    retiring TEXT NOT NULL, -- the retiring principal's unique id
    body     TEXT NOT NULL, -- the rest of keys.Grant, JSON
    PRIMARY KEY (account, region, key_id, id),
    FOREIGN KEY (account, region, key_id) REFERENCES kms_keys (account, region, id) ON DELETE CASCADE
);
CREATE INDEX kms_grants_name ON kms_grants (account, region, key_id, name) WHERE name <> '';
CREATE INDEX kms_grants_retiring ON kms_grants (region, retiring, id) WHERE retiring <> '';

-- +goose Down
DROP TABLE kms_grants;
DROP TABLE kms_aliases;
DROP TABLE kms_materials;
DROP TABLE kms_keys;
