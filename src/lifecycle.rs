//! From the first task to the exit code: signals, a soft stop, a hard stop.
//!
//! A signal begins a soft stop: tasks see it in the stop token and end what they have begun. A second signal, or
//! the end of the grace period, is a hard stop: tasks are dropped where they wait. Both are safe, because nothing
//! is settled before it is durable. A critical task that ends while nobody asked for it, or panics, makes the
//! program fail, so that whoever supervises it starts a whole one again.

use std::fmt;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of a running program, and its way to the end.
pub struct Lifecycle {
    signals: Signals,
    stop: CancellationToken,
    hard_stop: CancellationToken,
    tasks: TaskTracker,
    fallen: (UnboundedSender<Arc<str>>, UnboundedReceiver<Arc<str>>),
}

/// Why the program ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It was asked to, and all tasks have ended.
    Stopped,
    /// It was asked to a second time before they had.
    Interrupted,
    /// The grace period was over before they had.
    OutOfTime,
    /// This task ended while nobody asked for it, or panicked.
    Failed(Arc<str>),
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Lifecycle {
    /// Begins to listen for signals, so that none is missed from here on. Needs a runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            signals: Signals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            stop: CancellationToken::new(),
            hard_stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            fallen: mpsc::unbounded_channel(),
        })
    }

    /// Is cancelled when a stop begins; cancelling it begins one.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a task without which the program is no good: it ends only after the stop token is cancelled. What
    /// went wrong in it, the task says itself.
    pub fn spawn_critical(&self, name: impl Into<Arc<str>>, task: impl Future<Output = ()> + Send + 'static) {
        let name = name.into();
        let (stop, hard_stop, fallen) = (self.stop.clone(), self.hard_stop.clone(), self.fallen.0.clone());
        let running = tokio::spawn(async move { hard_stop.run_until_cancelled(task).await.is_some() });
        self.tasks.spawn(async move {
            let ended = running.await;
            let panicked = ended.is_err();
            if panicked || !stop.is_cancelled() {
                tracing::error!(event = "task_fell", task = &*name, panicked, "a critical task has ended");
                // Nobody listens any more only when the program is past caring.
                fallen.send(name).ok();
            }
        });
    }

    /// Waits for a signal or a fallen task, stops the others, and says why it is over.
    pub async fn run_until_stopped(mut self, grace: Duration) -> ExitReason {
        let first = tokio::select! {
            biased;
            Some(task) = self.fallen.1.recv() => ExitReason::Failed(task),
            name = self.signals.next() => {
                tracing::info!(event = "stopping", signal = name, ?grace, "a stop was asked for");
                ExitReason::Stopped
            }
            () = self.stop.cancelled() => ExitReason::Stopped,
        };
        self.stop.cancel();
        self.tasks.close();
        let end = tokio::select! {
            biased;
            () = self.tasks.wait() => first.clone(),
            _ = self.signals.next() => ExitReason::Interrupted,
            () = tokio::time::sleep(grace) => ExitReason::OutOfTime,
        };
        self.hard_stop.cancel();
        let reason = match (first, self.fallen.1.try_recv()) {
            (failed @ ExitReason::Failed(_), _) => failed,
            (_, Ok(task)) => ExitReason::Failed(task),
            _ => end,
        };
        tracing::info!(event = "stopped", %reason, "the end");
        reason
    }
}

impl Signals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

impl ExitReason {
    /// 0 if all ended as asked, 130 if a second signal cut it short, else 1.
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Stopped => ExitCode::SUCCESS,
            Self::Interrupted => ExitCode::from(130),
            Self::OutOfTime | Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped as asked"),
            Self::Interrupted => f.write_str("cut short by a second signal"),
            Self::OutOfTime => f.write_str("work under way did not end within the grace period"),
            Self::Failed(task) => write!(f, "the task `{task}` has fallen"),
        }
    }
}
