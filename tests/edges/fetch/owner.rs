//! An owner on loopback that answers as a test tells it to, and remembers what it was asked.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use nearcopy::event::{EntityId, EntityType, Field, FieldPath, FieldType, IdKind, Selection, VersionRule};
use nearcopy::fetch::{Fetch, FetchError, HttpFetch};
use nearcopy::replication::{
    Answer, AnswerPaths, FetchSpec, Keep, Lineage, ReadSpec, Subscription, UrlTemplate,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The ids that were asked for.
    pub(crate) ids: Vec<String>,
    /// Whether it came to the batch address.
    pub(crate) batch: bool,
    /// How many requests came before it.
    pub(crate) before: usize,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

/// The owner: it lives until it is dropped.
pub(crate) struct TestOwner {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    at_once: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl TestOwner {
    pub(crate) async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Asked) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0".parse().unwrap(), answer).await
    }

    pub(crate) async fn start_at<F, R>(address: SocketAddr, answer: F) -> Self
    where
        F: Fn(Asked) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (at_once, most_at_once) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (seen, now, most) = (asked.clone(), at_once.clone(), most_at_once.clone());
        let router = Router::new().fallback(move |request: Request| {
            let (seen, now, most, answer) = (seen.clone(), now.clone(), most.clone(), answer.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let response = answer(note(&seen, &request)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                response
            }
        });
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, asked, at_once, most_at_once, server }
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many requests there were so far.
    pub(crate) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// The most requests that were under way at one time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }

    /// Waits until this many requests are under way.
    pub(crate) async fn busy_with(&self, requests: usize) {
        let reached = async {
            while self.at_once.load(Ordering::SeqCst) != requests {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), reached).await.unwrap();
    }
}

impl Drop for TestOwner {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn note(seen: &Mutex<Vec<Asked>>, request: &Request) -> Asked {
    let path = request.uri().path().to_owned();
    let ids = request.uri().query().and_then(|query| query.strip_prefix("ids="));
    let mut seen = seen.lock().unwrap();
    let asked = Asked {
        ids: match ids {
            Some(list) => list.split(',').map(str::to_owned).collect(),
            None => vec![path.rsplit('/').next().unwrap().to_owned()],
        },
        batch: ids.is_some(),
        before: seen.len(),
        path,
        headers: request.headers().clone(),
    };
    seen.push(asked.clone());
    asked
}

/// What an owner says of a user.
pub(crate) fn user(id: &str) -> Value {
    json!({"id": id, "version": 7, "name": format!("user {id}"), "secret": "not wanted"})
}

pub(crate) fn ok(body: &Value) -> Response {
    (StatusCode::OK, [("content-type", "application/json")], body.to_string()).into_response()
}

/// The honest answer: the user, or the list of users.
pub(crate) fn honest(asked: &Asked) -> Response {
    let users: Vec<Value> = asked.ids.iter().map(|id| user(id)).collect();
    if asked.batch { ok(&Value::from(users)) } else { ok(&users[0]) }
}

pub(crate) fn status(code: u16) -> Response {
    (StatusCode::from_u16(code).unwrap(), "no").into_response()
}

/// A body that gives a part of these bytes now and then, for ever.
pub(crate) fn endless(part: &'static [u8], every: Duration) -> Response {
    let parts = futures::stream::unfold((), move |()| async move {
        tokio::time::sleep(every).await;
        Some((Ok::<_, std::io::Error>(part), ()))
    });
    Body::from_stream(parts).into_response()
}

pub(crate) fn id(text: &str) -> EntityId {
    EntityId::String(text.into())
}

/// A replica of users at this owner, asked in this manner.
pub(crate) fn replica(address: SocketAddr, adapt: impl FnOnce(&mut FetchSpec)) -> Arc<Subscription> {
    let path = |text: &str| FieldPath::parse(text).unwrap();
    let fields = |root: &str| {
        let from = path(&format!("{root}name"));
        vec![Field { name: "name".into(), from, kind: FieldType::String, default: None, protect: None }]
    };
    let version = |text: &str| VersionRule::Sequence(path(text));
    let mut spec = FetchSpec {
        url: UrlTemplate::parse(&format!("http://{address}/users/{{id}}"), "id").unwrap(),
        by: std::collections::BTreeMap::new(),
        list: None,
        batch: None,
        batch_size: 10,
        concurrency: 8,
        timeout: Duration::from_secs(2),
        settle: Duration::from_secs(30),
        reconcile: None,
        answers: AnswerPaths::new(
            &path("body.id"),
            IdKind::String,
            version("body.version"),
            path(""),
            path(""),
            fields("data."),
        ),
    };
    adapt(&mut spec);
    Arc::new(Subscription {
        name: EntityType::new("users"),
        owner: "user-service".into(),
        source: "users".into(),
        keep: Keep::All,
        selection: Selection::new(&path("data.id"), IdKind::String, version("data.version"), fields("data.")),
        reactions: [].into(),
        fetch: Some(spec),
        embedded: false,
        shape: 1,
        gaps: nearcopy::replication::Gaps::Ignore,
        lineage: Lineage::default(),
        reads: ReadSpec::default(),
        dropped: Vec::new(),
    })
}

/// Says where several users are found at once.
pub(crate) fn batched(address: SocketAddr) -> UrlTemplate {
    UrlTemplate::parse(&format!("http://{address}/users?ids={{ids}}"), "ids").unwrap()
}

pub(crate) fn asking(replica: &Arc<Subscription>) -> Arc<HttpFetch> {
    Arc::new(HttpFetch::new([replica], &BTreeMap::new()).unwrap())
}

/// What came of asking for these, without who else had asked.
pub(crate) async fn outcomes(
    fetch: &HttpFetch,
    of: &Subscription,
    ids: &[EntityId],
) -> Vec<Result<Answer, FetchError>> {
    fetch.ask(of, ids).await.into_iter().map(|reply| reply.outcome).collect()
}
