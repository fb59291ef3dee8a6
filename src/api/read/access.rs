//! Who may read what.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};

use super::problem::Problem;
use super::tls::Tls;

/// Stands behind a replica's name where what is encrypted is seen in clear.
const CLEAR: &str = ":clear";

tokio::task_local! {
    /// What the one who asks may read. A request is answered within the task that let it in, so whoever looks for a replica
    /// finds it here, whichever face has taken the request; nothing is said where everybody may read everything.
    static ALLOWED: Arc<Allowed>;
}

/// Who may read, and how they are known.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What readers must know; where there is nothing, everybody reads everything.
    pub grants: Vec<Grant>,
    /// What connections are encrypted with.
    pub tls: Option<Tls>,
}

/// What a token lets its bearer read.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What is sent.
    pub token: SecretString,
    /// The replicas; all of them, where none is named.
    pub replicas: BTreeSet<String>,
    /// Those of which its bearer sees in clear what is encrypted.
    pub clear: BTreeSet<String>,
}

/// One who is known by a token.
struct Allowed {
    key: hmac::Key,
    expected: hmac::Tag,
    replicas: BTreeSet<String>,
    clear: BTreeSet<String>,
}

impl Grant {
    /// What lets its bearer read these replicas; behind a name `:clear` lets him see in clear what is encrypted there.
    pub fn new(token: SecretString, names: &BTreeSet<String>) -> Self {
        let clear: BTreeSet<String> =
            names.iter().filter_map(|name| Some(name.strip_suffix(CLEAR)?.to_owned())).collect();
        let replicas = names.iter().map(|name| name.strip_suffix(CLEAR).unwrap_or(name).to_owned());
        Self { token, replicas: replicas.collect(), clear }
    }
}

/// Whether the one who asks may read this replica.
pub(super) fn may_read(replica: &str) -> bool {
    ALLOWED.try_with(|allowed| allowed.covers(replica)).unwrap_or(true)
}

/// Whether the one who asks sees in clear what is encrypted in this replica. Nobody does who has not been told so.
pub(super) fn sees_clear(replica: &str) -> bool {
    ALLOWED.try_with(|allowed| allowed.clear.contains(replica)).unwrap_or(false)
}

/// Lets only those through who send one of these tokens, which that setting has.
pub(in crate::api) fn guarded(router: Router, grants: &[Grant], setting: &'static str) -> Router {
    let all: Arc<[Arc<Allowed>]> = grants.iter().map(|grant| Arc::new(Allowed::by(grant))).collect();
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let given = bearer(request.headers());
        let known = given.and_then(|given| all.iter().find(|one| one.knows(given)).cloned());
        admit(known, setting, request, next)
    }))
}

async fn admit(known: Option<Arc<Allowed>>, setting: &'static str, request: Request, next: Next) -> Response {
    match known {
        Some(allowed) => ALLOWED.scope(allowed, next.run(request)).await,
        None => Problem::stranger(setting).into_response(),
    }
}

impl Allowed {
    fn by(grant: &Grant) -> Self {
        let token = grant.token.expose_secret().as_bytes();
        // What is sent is compared by its signature, so that the time it takes tells nothing.
        let key = hmac::Key::new(hmac::HMAC_SHA256, token);
        let expected = hmac::sign(&key, token);
        Self { key, expected, replicas: grant.replicas.clone(), clear: grant.clear.clone() }
    }

    fn knows(&self, given: &str) -> bool {
        hmac::verify(&self.key, given.as_bytes(), self.expected.as_ref()).is_ok()
    }

    fn covers(&self, replica: &str) -> bool {
        self.replicas.is_empty() || self.replicas.contains(replica)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}
