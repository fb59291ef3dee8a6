//! What both services need to be web services: settings, a database, a listener, and failures as answers.

use std::future::Future;
use std::str::FromStr;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mongodb::error::{ErrorKind, WriteFailure};

/// Reads a setting from the environment.
pub(crate) fn setting<T: FromStr>(name: &str, default: &str) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let value = std::env::var(name).unwrap_or_else(|_| default.to_owned());
    value.parse().map_err(|error| anyhow::Error::new(error).context(format!("{name}={value}")))
}

/// Connects to the service's own database.
pub(crate) async fn database(default_name: &str) -> anyhow::Result<mongodb::Database> {
    let url: String = setting("MONGODB_URL", "mongodb://127.0.0.1:27017/?replicaSet=rs0")?;
    let name: String = setting("MONGODB_DATABASE", default_name)?;
    Ok(mongodb::Client::with_uri_str(url).await?.database(&name))
}

/// Serves until the process is told to stop.
pub(crate) async fn serve(service: &str, listen: &str, routes: Router) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await?;
    tracing::info!(address = %listener.local_addr()?, "{service} listens");
    Ok(axum::serve(listener, routes).with_graceful_shutdown(told_to_stop()).await?)
}

async fn told_to_stop() {
    // Without a handler the signal ends us anyway.
    if let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        term.recv().await;
    }
}

/// Why a request is not answered as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("not found")]
    NotFound,
    #[error("it exists already")]
    Exists,
    #[error("database")]
    Database(#[source] mongodb::error::Error),
}

impl From<mongodb::error::Error> for Failure {
    fn from(error: mongodb::error::Error) -> Self {
        if is_duplicate_key(&error) { Self::Exists } else { Self::Database(error) }
    }
}

fn is_duplicate_key(error: &mongodb::error::Error) -> bool {
    let code = if let ErrorKind::Write(WriteFailure::WriteError(write)) = error.kind.as_ref() {
        Some(write.code)
    } else if let ErrorKind::Command(command) = error.kind.as_ref() {
        Some(command.code)
    } else {
        None
    };
    code == Some(11000)
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Exists => StatusCode::CONFLICT,
            Self::Database(error) => {
                tracing::error!(%error, "the database refused");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        (status, self.to_string()).into_response()
    }
}

/// Runs the work of a request to its end even if the caller hangs up: a write without its event would be half a change.
pub(crate) async fn to_its_end<T, F>(work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
