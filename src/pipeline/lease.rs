//! Divides work between pods: who is at it says so, again and again.
//!
//! A lease only saves doing things twice. Where one is lost to another pod, both may be at it for a moment, and the
//! guards of their writes make one of what they do.

use std::future::Future;
use std::time::Duration;

use super::{Halted, Pipeline};

/// How long others wait for a pod that says nothing. Whatever one that crashed was at stands still for so long.
pub(super) const LEASE: Duration = Duration::from_secs(3);
/// How often a pod says that it is still at it.
pub(super) const RENEWED_EVERY: Duration = Duration::from_secs(1);

impl Pipeline {
    /// Does a piece of work if no other pod is at it, and only for as long as that is so; says what came of it.
    pub(super) async fn if_leased<T, E: From<Halted>>(
        &self,
        lease: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<Option<T>, E> {
        if !self.persist(|| self.store.lease(lease, LEASE)).await? {
            return Ok(None);
        }
        tokio::select! {
            biased;
            done = work => done.map(Some),
            lost = self.renew(lease) => lost.map(|()| None).map_err(E::from),
        }
    }

    /// Renews a lease for as long as it can be.
    async fn renew(&self, lease: &str) -> Result<(), Halted> {
        loop {
            self.pause(RENEWED_EVERY).await?;
            if !self.persist(|| self.store.lease(lease, LEASE)).await? {
                return Ok(());
            }
        }
    }

    /// Does work until the program stops, and then gives its lease back, so that the next pod need not wait for its
    /// end.
    pub(super) async fn leased(
        &self,
        lease: &str,
        work: impl Future<Output = Result<(), Halted>>,
    ) -> Result<(), Halted> {
        let ended = work.await;
        // What has begun to be stored ends first: else it would be left half-way in the database, and whoever comes next could
        // not write there.
        self.under_way.close();
        self.under_way.wait().await;
        // A lease that is not given back ends by itself.
        let _given_back = self.store.release(lease).await;
        ended
    }
}
