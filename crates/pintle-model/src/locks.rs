//! Locks of what threads share. Used by `infer` and `serve`.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock. A thread that died while it held it has been told of elsewhere, and what it left behind is whole: no
/// change under these locks stops half-way.
pub(crate) fn lock<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
