-- +goose Up
-- What is asked for or must be unique is a column; body is the whole, as JSON.
CREATE TABLE organizations (
    id   TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
);

-- Roots, units and accounts.
CREATE TABLE organization_nodes (
    id           TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES organizations (id),
    kind         TEXT NOT NULL,
    parent       TEXT NOT NULL, -- '' for roots
    unit         TEXT,          -- a unit's name; NULL for other kinds
    email        TEXT,          -- an account's, in lower case; NULL if it has none
    body         TEXT NOT NULL,
    UNIQUE (parent, unit)
);
CREATE INDEX organization_nodes_by_kind ON organization_nodes (organization, kind, id);
CREATE INDEX organization_nodes_by_parent ON organization_nodes (parent, kind, id);
CREATE INDEX organization_nodes_by_email ON organization_nodes (email);

CREATE TABLE organization_policies (
    organization TEXT NOT NULL REFERENCES organizations (id),
    id           TEXT NOT NULL,
    type         TEXT NOT NULL,
    name         TEXT NOT NULL,
    body         TEXT NOT NULL,
    PRIMARY KEY (organization, id),
    UNIQUE (organization, type, name)
);

-- AWS's own policies, which have no row, are attached too.
CREATE TABLE organization_attachments (
    organization TEXT NOT NULL REFERENCES organizations (id),
    target       TEXT NOT NULL REFERENCES organization_nodes (id),
    policy       TEXT NOT NULL,
    type         TEXT NOT NULL,
    PRIMARY KEY (target, policy)
);
CREATE INDEX organization_attachments_by_policy ON organization_attachments (organization, policy, target);

-- Requests to make accounts, invitations, services with access, delegations.
CREATE TABLE organization_items (
    organization TEXT NOT NULL REFERENCES organizations (id),
    kind         TEXT NOT NULL,
    id           TEXT NOT NULL,
    account      TEXT NOT NULL, -- '' if it is about none
    body         TEXT NOT NULL,
    PRIMARY KEY (organization, kind, id)
);
CREATE INDEX organization_items_by_account ON organization_items (account, kind, id);

-- +goose Down
DROP TABLE organization_items;
DROP TABLE organization_attachments;
DROP TABLE organization_policies;
DROP TABLE organization_nodes;
DROP TABLE organizations;
