//! Takes in a request's body: bounded in size, in time and in the memory that all bodies share.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Stop;

/// A client that sends nothing for so long has gone, or means harm.
const IDLE: Duration = Duration::from_secs(20);
const MIB: u64 = 1 << 20;
/// Memory is reserved in steps, so that a small body of unknown length does not reserve the maximum.
const STEP_KIB: u32 = 64;

/// A body in memory, and the share of the memory that it takes.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    pub(crate) memory: Vec<OwnedSemaphorePermit>,
}

/// Reads the body to its end.
pub(crate) async fn read(body: Body, most_mib: u64, memory: &Arc<Semaphore>) -> Result<Received, Stop> {
    let most = most_mib.saturating_mul(MIB);
    let declared = http_body::Body::size_hint(&body).exact();
    if declared.is_some_and(|length| length > most) {
        return Err(Stop::TooLarge { most_mib });
    }
    let mut reserved = Reserve { memory, permits: Vec::new(), bytes: 0 };
    let mut body = body;
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(IDLE, body.frame()).await {
            Err(_) => return Err(Stop::SlowBody),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Stop::BrokenBody),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        let so_far = first.as_ref().map_or(0, Bytes::len) + rest.len() + data.len();
        if u64::try_from(so_far).map_or(true, |length| length > most) {
            return Err(Stop::TooLarge { most_mib });
        }
        reserved.grow_to(so_far)?;
        match &first {
            // Most bodies arrive in one piece, which is then never copied.
            None => first = Some(data),
            Some(head) if rest.is_empty() => {
                rest.extend_from_slice(head);
                rest.extend_from_slice(&data);
                first = Some(Bytes::new());
            }
            Some(_) => rest.extend_from_slice(&data),
        }
    }
    let bytes = if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() };
    Ok(Received { bytes, memory: reserved.permits })
}

struct Reserve<'a> {
    memory: &'a Arc<Semaphore>,
    permits: Vec<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Reserve<'_> {
    fn grow_to(&mut self, bytes: usize) -> Result<(), Stop> {
        while self.bytes < bytes {
            // Twice as much each time, so that a large body takes few steps.
            let doublings = u32::try_from(self.permits.len()).unwrap_or(u32::MAX).min(8);
            let kib = STEP_KIB << doublings;
            let permit = Arc::clone(self.memory).try_acquire_many_owned(kib).map_err(|_| Stop::Overloaded)?;
            self.permits.push(permit);
            self.bytes += usize::try_from(kib).unwrap_or(0) * 1024;
        }
        Ok(())
    }
}
