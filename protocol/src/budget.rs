//! Memory that strangers may make us hold, bounded over all connections.
//!
//! A reader takes its share before it reads and holds the permit for as long as the bytes live;
//! when nothing is left it waits, which the sender feels as a full socket.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes one permit stands for: semaphores count to 2^29 or so, and exactness is not needed.
const UNIT: usize = 1024;

/// A number of bytes that may be held at once.
#[derive(Debug, Clone)]
pub struct Budget {
    units: Arc<Semaphore>,
    total: usize,
}

/// A share of a budget; dropping it gives it back.
#[derive(Debug)]
pub struct Share(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Budget {
        let total = bytes.div_ceil(UNIT);
        Budget { units: Arc::new(Semaphore::new(total)), total }
    }

    /// Waits until `bytes` are free, and takes them. A wish beyond the whole budget takes all of it.
    pub async fn take(&self, bytes: usize) -> Share {
        let units = bytes.div_ceil(UNIT).clamp(1, self.total);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.units)
            .acquire_many_owned(units)
            .await
            .expect("the semaphore of a budget is never closed");
        Share(permit)
    }

    /// Bytes that are free now.
    pub fn free(&self) -> usize {
        self.units.available_permits() * UNIT
    }
}
