-- Times are milliseconds since 1970 in UTC, money is nano-units of the ledger's currency, ids are text.
-- A list inside a row is JSON text.

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Registry --------------------------------------------------------------------------------------

CREATE TABLE use_cases (
    name                 TEXT PRIMARY KEY,
    title                TEXT NOT NULL,
    purpose              TEXT NOT NULL,
    business_owner_name  TEXT NOT NULL,
    business_owner_email TEXT NOT NULL,
    it_owner_name        TEXT NOT NULL,
    it_owner_email       TEXT NOT NULL,
    deputy_name          TEXT,
    deputy_email         TEXT,
    cost_centre          TEXT NOT NULL,
    stage                TEXT NOT NULL,
    data_class           TEXT NOT NULL,
    risk_tier            TEXT NOT NULL,
    transformations      TEXT NOT NULL,
    objective            TEXT NOT NULL,
    baseline             TEXT,
    value_hypothesis     TEXT,
    review_on            TEXT,
    kill_criterion       TEXT,
    is_demo              INTEGER NOT NULL,
    version              INTEGER NOT NULL,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL
) STRICT;

CREATE TABLE api_keys (
    id         TEXT PRIMARY KEY,
    use_case   TEXT NOT NULL REFERENCES use_cases (name),
    label      TEXT NOT NULL,
    prefix     TEXT NOT NULL,
    hash       BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;
CREATE INDEX api_keys_by_use_case ON api_keys (use_case);

CREATE TABLE bans (
    id          TEXT PRIMARY KEY,
    target_kind TEXT NOT NULL,
    target      TEXT NOT NULL,
    use_case    TEXT,
    reason      TEXT NOT NULL,
    owner       TEXT NOT NULL,
    starts_at   INTEGER NOT NULL,
    ends_at     INTEGER NOT NULL,
    exceptions  TEXT NOT NULL,
    lifted_at   INTEGER,
    lifted_by   TEXT,
    created_at  INTEGER NOT NULL
) STRICT;

-- What administrators did: appended to, never changed.
CREATE TABLE admin_acts (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

-- Console ---------------------------------------------------------------------------------------

CREATE TABLE sessions (
    hash       BLOB PRIMARY KEY,
    person     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE setup_links (
    hash       BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT;

-- Ledger ----------------------------------------------------------------------------------------

-- Hard budgets per calendar month. Scope: `organisation`, or `use_case:` and the use case's name.
CREATE TABLE budgets (
    scope         TEXT PRIMARY KEY,
    monthly_nanos INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;

-- One row for each request of a known caller, whatever became of it. `record` is the whole life of the
-- request as JSON; the columns are what lists and sums need. The id is the sixteen bytes of a UUIDv7, which
-- begins with the time: ranges of ids are ranges of time, and new rows go to the end of the index.
CREATE TABLE requests (
    id          BLOB PRIMARY KEY,
    at          INTEGER NOT NULL,
    use_case    TEXT NOT NULL,
    model       TEXT NOT NULL,
    placement   TEXT,
    zone        TEXT,
    class       TEXT,
    outcome     TEXT NOT NULL,
    code        TEXT,
    status      INTEGER NOT NULL,
    cost_nanos  INTEGER,
    is_unpriced INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    record      TEXT NOT NULL
) STRICT;
CREATE INDEX requests_by_use_case ON requests (use_case, id);

-- Exactly one row for each dispatched request (I3): the primary key sees to "one", the journal to "each".
-- `day` is the day in the organisation's time zone on which the money was held: `2026-11-24`.
CREATE TABLE ledger_entries (
    request_id    BLOB PRIMARY KEY,
    at            INTEGER NOT NULL,
    day           TEXT NOT NULL,
    settled_at    INTEGER NOT NULL,
    use_case      TEXT NOT NULL,
    key_id        BLOB,
    placement     TEXT NOT NULL,
    zone          TEXT NOT NULL,
    model         TEXT NOT NULL,
    state         TEXT NOT NULL,
    hold_nanos    INTEGER NOT NULL,
    cost_nanos    INTEGER,
    input         INTEGER NOT NULL,
    cached_input  INTEGER NOT NULL,
    cache_write   INTEGER NOT NULL,
    output        INTEGER NOT NULL,
    reasoning     INTEGER NOT NULL,
    usage_source  TEXT NOT NULL
) STRICT;
-- Covers the sums of a month that budgets are loaded from at the start.
CREATE INDEX ledger_entries_by_day ON ledger_entries (day, use_case, placement, cost_nanos);
-- What somebody has to look at is rare, and must be found at once.
CREATE INDEX ledger_entries_in_doubt ON ledger_entries (state) WHERE state = 'in_doubt';
