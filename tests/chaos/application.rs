//! The application of a pod: it asks its sidecar as long as it runs, and says each time that it is not answered.

#![expect(clippy::print_stdout, reason = "what it has to say is read from its log")]

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval};

use crate::world::shop::anchor_user;

/// What a line begins with that tells of a question without an answer.
pub(crate) const UNANSWERED: &str = "unanswered";
/// How often it asks.
const EVERY: Duration = Duration::from_millis(50);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it goes on once it is told to end, as one does that has requests under way.
const LEAVE: Duration = Duration::from_secs(1);

/// Works beside the sidecar that is read at this address, until it is told to end and what it has under way is done.
pub(crate) async fn play(sidecar: &str) -> ExitCode {
    let Ok(mut told) = signal(SignalKind::terminate()) else { return ExitCode::FAILURE };
    let Ok(http) = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build() else {
        return ExitCode::FAILURE;
    };
    let url = format!("http://{sidecar}/v1/users/{}?consistency=local", anchor_user(0));
    let (mut ticks, mut end) = (interval(EVERY), None);
    while end.is_none_or(|end| Instant::now() < end) {
        tokio::select! {
            _ = told.recv(), if end.is_none() => end = Some(Instant::now() + LEAVE),
            _ = ticks.tick() => match http.get(&url).send().await {
                // Who is not known yet is no fault of the sidecar's.
                Ok(answer) if !answer.status().is_server_error() => {}
                Ok(answer) => println!("{UNANSWERED}: {}", answer.status()),
                Err(error) => println!("{UNANSWERED}: {error}"),
            }
        }
    }
    ExitCode::SUCCESS
}
