//! Work that grows with a body: where it is done, so that other requests do not wait for it.

use crate::error::Stop;

/// Bodies up to this size are parsed and scanned where they are: that takes less than a millisecond.
const INLINE_BYTES_MAX: usize = 128 * 1024;

/// Work that grows with the body goes off the async threads when the body is large: they serve others.
pub(crate) async fn off_the_threads<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stop> {
    if size <= INLINE_BYTES_MAX {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| Stop::Internal("a large request could not be read"))
}

/// The same for work that borrows: this thread does it, and hands its other tasks to another one first.
pub(crate) fn in_place<T>(size: usize, work: impl FnOnce() -> T) -> T {
    let flavor = tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor());
    let has_others = matches!(flavor, Ok(tokio::runtime::RuntimeFlavor::MultiThread));
    if size > INLINE_BYTES_MAX && has_others { tokio::task::block_in_place(work) } else { work() }
}
