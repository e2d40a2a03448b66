-- What an entry took from the socket, in thousandths of a watt-hour, and how that is known: `measured` or `estimated`.
-- Both are null where nobody knows.
ALTER TABLE ledger_entries ADD COLUMN energy_mwh INTEGER;
ALTER TABLE ledger_entries ADD COLUMN energy_method TEXT;
