//! Asks owners over HTTP.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use secrecy::SecretString;

use super::owner::Owner;
use super::request;
use super::single_flight::Flight;
use super::{Fetch, FetchError, Reply};
use crate::event::{EntityId, EntityType};
use crate::replication::{Listing, Subscription};
use crate::telemetry::trace;

/// Asks owners over HTTP, each by its own bounds and its own breaker.
///
/// A question, once begun, is finished even if whoever asked first has gone: others may be waiting for it. So the
/// answer that an asker shares may have been asked for some of the declared timeouts before: two if it was asked
/// singly, more behind a failed batch or in a long queue.
pub struct HttpFetch {
    owners: HashMap<EntityType, Arc<Owner>>,
}

/// Why owners cannot be asked at all.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up; https needs the system's certificates")]
pub struct FetchSetupError(#[from] reqwest::Error);

impl HttpFetch {
    /// Prepares to ask the owners of those replicas that declare how. An owner is sent the token that stands beside its
    /// replica's name, if one does.
    pub fn new<'r>(
        replicas: impl IntoIterator<Item = &'r Arc<Subscription>>,
        tokens: &BTreeMap<EntityType, SecretString>,
    ) -> Result<Self, FetchSetupError> {
        request::provide_tls();
        let declared: Vec<_> =
            replicas.into_iter().filter_map(|replica| Some((replica, replica.fetch.as_ref()?))).collect();
        let https = declared.iter().any(|(_, spec)| {
            std::iter::once(&spec.url)
                .chain(&spec.batch)
                .chain(spec.by.values())
                .map(ToString::to_string)
                .chain(spec.list.iter().map(|list| list.url(None)))
                .any(|url| url.starts_with("https://"))
        });
        let client = request::client(https)?;
        let owners = declared.into_iter().map(|(replica, spec)| {
            let token = tokens.get(&replica.name);
            let owner = Owner::new(Arc::clone(replica), spec.clone(), client.clone(), token);
            (replica.name.clone(), Arc::new(owner))
        });
        Ok(Self { owners: owners.collect() })
    }
}

#[async_trait]
impl Fetch for HttpFetch {
    async fn ask(&self, of: &Subscription, ids: &[EntityId]) -> Vec<Reply> {
        let Some(owner) = self.owners.get(&of.name) else {
            return ids.iter().map(|_| Reply::not_declared()).collect();
        };
        let (seats, flights) = owner.flights.board(ids);
        if !seats.is_empty() {
            // A task of its own: the leader may be cancelled, those who follow it must not be.
            drop(tokio::spawn(trace::carried(Arc::clone(owner).answer(seats))));
        }
        join_all(flights.into_iter().map(Flight::landed)).await
    }

    async fn find(&self, of: &Subscription, field: &str, value: &str) -> Result<Vec<EntityId>, FetchError> {
        let owner = self.owners.get(&of.name).ok_or(FetchError::NotDeclared)?;
        owner.find(field, value).await
    }

    async fn list(&self, of: &Subscription, after: Option<&str>) -> Result<Listing, FetchError> {
        self.owners.get(&of.name).ok_or(FetchError::NotDeclared)?.list(after).await
    }

    fn is_resting(&self, of: &EntityType) -> bool {
        self.owners.get(of).is_some_and(|owner| owner.is_resting())
    }
}
