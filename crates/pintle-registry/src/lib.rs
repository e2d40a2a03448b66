//! People, use cases, stages, keys, bans, placements.
