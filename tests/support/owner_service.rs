//! The owning service of a test: it has entities, answers as it is told to, and remembers what it was asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// How an owner answers: the request in, the answer out.
type Manner = Arc<dyn Fn(&Asked, &Entities) -> Reply + Send + Sync>;
/// What it has, by id, each as it is answered.
pub(crate) type Entities = BTreeMap<String, Value>;

/// One request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The first name of the path, which tells replicas apart.
    pub(crate) of: String,
    /// The ids that were asked for, decoded.
    pub(crate) ids: Vec<String>,
    /// Whether it came to the batch address.
    pub(crate) batch: bool,
    /// If it asked for the list: after which id, and for how many at most.
    pub(crate) page: Option<(String, usize)>,
    /// The path and the query as they were sent.
    pub(crate) target: String,
    /// The token that was sent.
    pub(crate) token: Option<String>,
}

/// An answer.
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    after: Duration,
    breaks_off: bool,
}

/// The service: it lives until it is stopped or dropped.
pub(crate) struct Owner {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    server: Option<JoinHandle<()>>,
}

struct Shared {
    entities: Entities,
    asked: Vec<Asked>,
    manner: Manner,
}

impl Owner {
    /// Starts one that has nothing and answers honestly.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared { entities: Entities::new(), asked: Vec::new(), manner: Arc::new(honest) };
        let mut owner = Self { address, shared: Arc::new(Mutex::new(shared)), server: None };
        owner.serve(listener);
        owner
    }

    /// Where it is: `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// It has this entity from now on.
    pub(crate) fn has(&self, id: &str, version: u64, name: &str) {
        let user = json!({ "id": id, "version": version, "name": name, "secret": "CANARY-answer" });
        self.shared().entities.insert(id.to_owned(), user);
    }

    /// It does not have it any more.
    pub(crate) fn forgets(&self, id: &str) {
        self.shared().entities.remove(id);
    }

    /// It answers like this from now on.
    pub(crate) fn answers(&self, manner: impl Fn(&Asked, &Entities) -> Reply + Send + Sync + 'static) {
        self.shared().manner = Arc::new(manner);
    }

    /// It answers as it should from now on.
    pub(crate) fn behaves(&self) {
        self.answers(honest);
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared().asked.clone()
    }

    /// It dies: its connections end, and nobody listens at its address.
    pub(crate) async fn dies(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            server.await.unwrap_err();
        }
    }

    /// It is back at its address.
    pub(crate) async fn returns(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        let shared = self.shared.clone();
        let router = Router::new().fallback(move |request: Request| answer(shared.clone(), request));
        self.server = Some(tokio::spawn(accept(listener, router)));
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

impl Reply {
    /// A body of JSON, with success.
    pub(crate) fn json(body: &Value) -> Self {
        Self::text(body.to_string()).header("content-type", "application/json")
    }

    /// Any body, with success.
    pub(crate) fn text(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into(), after: Duration::ZERO, breaks_off: false }
    }

    /// A status and little else.
    pub(crate) fn status(status: u16) -> Self {
        Self { status, ..Self::text("CANARY-answer") }
    }

    /// With this header, too.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Only after this time.
    pub(crate) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    /// The connection ends before the body does.
    pub(crate) fn breaking_off(self) -> Self {
        Self { breaks_off: true, ..self }
    }
}

/// The honest answer: the entity or 404; of several, those that it has; of all, those after an id.
pub(crate) fn honest(asked: &Asked, entities: &Entities) -> Reply {
    if let Some((after, most)) = &asked.page {
        let (page, next) = page(entities, after, *most);
        return Reply::json(&json!({ "items": page, "next": next, "total": entities.len() }));
    }
    if asked.batch {
        return Reply::json(&asked.ids.iter().filter_map(|id| entities.get(id)).cloned().collect());
    }
    entities.get(&asked.ids[0]).map_or_else(|| Reply::status(404), Reply::json)
}

/// The entities after an id in the order of ids, at most so many, and the last of these if there are more.
pub(crate) fn page(entities: &Entities, after: &str, most: usize) -> (Vec<Value>, Option<String>) {
    let mut rest = entities.iter().filter(|(id, _)| id.as_str() > after);
    let page: Vec<_> = rest.by_ref().take(most).collect();
    let last = page.last().map(|(id, _)| (*id).clone()).filter(|_| rest.next().is_some());
    (page.into_iter().map(|(_, entity)| entity.clone()).collect(), last)
}

/// Serves until it is aborted; its connections end with it.
async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let service = TowerToHyperService::new(router.clone());
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(shared: Arc<Mutex<Shared>>, request: Request) -> Response<Body> {
    let asked = read(&request);
    let reply = {
        let mut shared = shared.lock().unwrap();
        shared.asked.push(asked.clone());
        (shared.manner.clone())(&asked, &shared.entities)
    };
    tokio::time::sleep(reply.after).await;
    let mut response = Response::builder().status(StatusCode::from_u16(reply.status).unwrap());
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    let body = if reply.breaks_off {
        let parts = [Ok(Bytes::from(reply.body)), Err(std::io::Error::other("broken off"))];
        Body::from_stream(futures::stream::iter(parts))
    } else {
        Body::from(reply.body)
    };
    response.body(body).unwrap()
}

/// Understands `/{replica}/{id}`, `/{replica}?ids={ids}` and `/{replica}?limit={most}&after={id}`.
fn read(request: &Request) -> Asked {
    let path = request.uri().path().trim_start_matches('/');
    let (of, id) = path.split_once('/').unwrap_or((path, ""));
    let query = request.uri().query();
    let batch = query.and_then(|query| query.strip_prefix("ids="));
    let ids = batch.map_or_else(|| vec![decoded(id)], |ids| ids.split(',').map(decoded).collect());
    let page = query.and_then(|query| query.strip_prefix("limit=")?.split_once("&after="));
    let page = page.map(|(most, after)| (decoded(after), most.parse().unwrap()));
    let token = request.headers().get("authorization").and_then(|sent| sent.to_str().ok());
    let token = token.and_then(|sent| sent.strip_prefix("Bearer ")).map(str::to_owned);
    Asked { of: of.to_owned(), ids, batch: batch.is_some(), page, target: request.uri().to_string(), token }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
