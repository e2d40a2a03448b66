//! SQLite pools and migrations; nothing else sets up a database driver.
