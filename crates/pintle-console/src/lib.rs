//! Server-rendered pages and the admin API.
