-- +goose Up
-- Custom key stores.
CREATE TABLE kms_stores (
    account    TEXT   NOT NULL,
    region     TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    name       TEXT   NOT NULL,
    connection TEXT   NOT NULL, -- keys.Connection
    cluster    TEXT   NOT NULL, -- '' for an external key store
    uri        TEXT   NOT NULL, -- '' for a CloudHSM key store
    body       TEXT   NOT NULL, -- the rest of keys.KeyStore, JSON
    secret     BYTEA  NOT NULL, -- opens with the root key only
    PRIMARY KEY (account, region, id),
    UNIQUE (account, region, name)
);
CREATE UNIQUE INDEX kms_stores_cluster ON kms_stores (cluster) WHERE cluster <> '';
CREATE UNIQUE INDEX kms_stores_uri ON kms_stores (account, region, uri) WHERE uri <> '';
CREATE INDEX kms_stores_connection ON kms_stores (connection) WHERE connection = 'CONNECTING';

-- Which keys are in them. A store with keys cannot be deleted.
CREATE TABLE kms_store_keys (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    store    TEXT NOT NULL,
    key_id   TEXT NOT NULL,
    external TEXT NOT NULL, -- the external key's id, '' in a CloudHSM key store
    PRIMARY KEY (account, region, key_id),
    FOREIGN KEY (account, region, key_id) REFERENCES kms_keys (account, region, id) ON DELETE CASCADE,
    FOREIGN KEY (account, region, store) REFERENCES kms_stores (account, region, id)
);
CREATE INDEX kms_store_keys_store ON kms_store_keys (account, region, store, key_id);
CREATE UNIQUE INDEX kms_store_keys_external ON kms_store_keys (account, region, store, external) WHERE external <> '';

-- +goose Down
DROP TABLE kms_store_keys;
DROP TABLE kms_stores;
