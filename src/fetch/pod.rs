//! Asks a pod for what it remembers.

use std::time::Duration;

use super::request::{self, Reply};
use super::{FetchError, FetchSetupError};

/// How long a pod may take: it looks no further than into its memory.
const WITHIN: Duration = Duration::from_secs(2);

/// What is found at a pod's address, as text.
pub async fn ask_pod(url: &str) -> Result<String, FetchError> {
    request::provide_tls();
    let client = request::client(url.starts_with("https://"))
        .map_err(|error| FetchError::Unreachable(FetchSetupError::from(error).to_string()))?;
    request::check_path(url)?;
    match request::get(&client, url, None, WITHIN).await {
        Ok(Reply::Body(body, _)) => Ok(String::from_utf8_lossy(&body).into_owned()),
        Ok(Reply::NotFound(status)) => Err(FetchError::Failed(status)),
        Err(failure) => Err(failure.error),
    }
}
